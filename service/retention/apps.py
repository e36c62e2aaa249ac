from django.apps import AppConfig


class RetentionConfig(AppConfig):
    name = "service.retention"
    label = "retention"

from django.apps import AppConfig


class AccessConfig(AppConfig):
    name = "service.access"
    label = "access"

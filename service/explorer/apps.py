from django.apps import AppConfig


class ExplorerConfig(AppConfig):
    name = "service.explorer"
    label = "explorer"

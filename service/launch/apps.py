from django.apps import AppConfig


class LaunchConfig(AppConfig):
    name = "service.launch"
    label = "launch"

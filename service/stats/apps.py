from django.apps import AppConfig


class StatsConfig(AppConfig):
    name = "service.stats"
    label = "stats"

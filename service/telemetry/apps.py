from django.apps import AppConfig


class TelemetryConfig(AppConfig):
    name = "service.telemetry"
    label = "telemetry"

from django.apps import AppConfig


class ProjectsConfig(AppConfig):
    name = "service.projects"
    label = "projects"

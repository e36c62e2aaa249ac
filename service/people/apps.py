from django.apps import AppConfig
from django.contrib.admin import apps


class PeopleConfig(AppConfig):
    name = "service.people"


class AdminConfig(apps.AdminConfig):
    """Django's admin with a site of ours; in INSTALLED_APPS by its own name, in place of ``django.contrib.admin``."""

    default = False
    default_site = "service.people.site.Site"

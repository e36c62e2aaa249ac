"""Projects and keys in Django's admin. A key is made by ``create_key``, which shows its token once."""

from django.contrib import admin
from django.http import HttpRequest

from service.projects.models import Key, Project


@admin.register(Project)
class ProjectAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # not generic at run time
    list_display = ["name", "created_at"]
    search_fields = ["name"]


@admin.register(Key)
class KeyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # not generic at run time
    list_display = ["prefix", "project", "label", "scopes", "last_used_at", "expires_at", "revoked_at"]
    list_select_related = ["project"]
    list_filter = ["project"]
    filter_horizontal = ["reads"]
    readonly_fields = ["prefix", "project", "created_at", "last_used_at"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

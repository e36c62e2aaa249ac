"""What a person may see and change in the admin: an owner his projects, a superuser all; and how that is recorded."""

import re
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.contrib.auth.models import User
from django.core.exceptions import BadRequest, PermissionDenied
from django.db.models import Field, ForeignKey, ManyToManyField, Model, QuerySet
from django.http import HttpRequest

from service.events import records
from service.events.records import Record
from service.projects import queries
from service.projects.models import Key, Membership, Project, Role

IDENTIFIER = re.compile(r"[0-9]{0,18}")


def owned(request: HttpRequest) -> QuerySet[Project]:
    return queries.projects_of(request.user, Role.OWNER)


def is_superuser(request: HttpRequest) -> bool:
    return request.user.is_active and request.user.is_superuser


def person_of(request: HttpRequest) -> User:
    """Return who asks. Raises PermissionDenied for nobody, who gets no further than the site's login anyway."""
    if not isinstance(request.user, User):
        raise PermissionDenied
    return request.user


def tell(request: HttpRequest, kind: Record, about: Key | Membership, data: dict[str, object]) -> None:
    """Record what a person does to a key or a member, among the events of the project."""
    if isinstance(about, Key):
        which = (records.KEY, about.pk)
        told: dict[str, object] = {"prefix": about.prefix, "label": records.told(about.label)}
    else:
        which = (records.USER, about.user_id)
        told = {"username": records.told(about.user.username), "role": about.role}
    records.record(about.project_id, kind, person_of(request), about=which, data=told | data)


def each_of(request: HttpRequest, name: str) -> list[str]:
    """Return what is named as ``name``, in the address separated by commas."""
    in_address = [part for text in request.GET.getlist(name) for part in text.split(",")]
    return [*in_address, *request.POST.getlist(name)]


class Bounded(admin.ModelAdmin):  # type: ignore[type-arg]  # not generic at run time
    """What an owner may see and change of the projects that he owns, and superusers of all."""

    project: ClassVar[str]  # the way from the model to its project's id
    show_full_result_count = False
    list_per_page = 50

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).filter(**{f"{self.project}__in": owned(request).values("pk")})

    def is_within(self, request: HttpRequest, which: Model | None = None) -> bool:
        """Return whether the person has a right to ``which``; without one, to any."""
        if which is None:
            return self.admin_site.has_permission(request)
        return owned(request).filter(pk=getattr(which, self.project)).exists()

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.is_within(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.is_within(request)

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self.is_within(request, obj)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self.is_within(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self.is_within(request, obj)

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Refuse what no form of ours sends, and Django's fields look up as it is."""
        given = [text for name in self.autocomplete_fields for text in each_of(request, name)]
        if "_saveasnew" in request.POST or not all(map(IDENTIFIER.fullmatch, given)):
            raise BadRequest("It names something by what is no number.")
        return super().changeform_view(request, *args, **kwargs)

    def formfield_for_foreignkey(
        self, db_field: "ForeignKey[Any, Any]", request: HttpRequest, **kwargs: Any
    ) -> "forms.ModelChoiceField[Any] | None":
        return super().formfield_for_foreignkey(db_field, request, **self.offered(db_field, request), **kwargs)

    def formfield_for_manytomany(
        self, db_field: "ManyToManyField[Any, Any]", request: HttpRequest, **kwargs: Any
    ) -> "forms.ModelMultipleChoiceField[Any] | None":
        return super().formfield_for_manytomany(db_field, request, **self.offered(db_field, request), **kwargs)

    def offered(self, field: "Field[Any, Any]", request: HttpRequest) -> dict[str, Any]:
        return {"queryset": owned(request)} if field.related_model is Project else {}

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Allow what the list's own filters ask, and no guessing at a column, such as a digest, bit by bit."""
        if "\0" in value:  # which Postgres doesn't take
            return False
        filters = {each if isinstance(each, str) else each[0] for each in self.get_list_filter(request)}  # type: ignore[index]  # no class is among them
        return lookup.partition("__")[0] in filters and super().lookup_allowed(lookup, value, request)

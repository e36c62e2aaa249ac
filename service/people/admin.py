"""Projects, keys, members and users in Django's admin: an owner's bounded to his projects, a superuser's to nothing.

No page reads events, so that each is as fast with ten million of them as with none.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import procrastinate.contrib.django.admin  # noqa: F401  # registers what is unregistered here
from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import Group, User
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from procrastinate.contrib.django.models import ProcrastinateJob

from service.access import operations as access
from service.access.queries import by_token
from service.api.problems import Problem
from service.events import records
from service.events.records import Record
from service.people.bounds import Bounded, is_superuser, person_of, tell
from service.people.forms import KeyForm, MembershipForm, ProjectForm, RotateForm
from service.projects import operations, queries
from service.projects.authentication import has_passed
from service.projects.models import Key, Membership, Project, Role
from service.projects.seats import Seat

# Groups decide nothing here; the pages of jobs look through all of them for their filters.
admin.site.unregister([Group, User, ProcrastinateJob])


class Secret(str):
    """A text that a page can show, and that isn't told where its context is, as in the log of a template."""

    def __repr__(self) -> str:
        return "…"


def seat_of(request: HttpRequest, key: Key) -> Seat:
    seat = queries.seat_in(person_of(request), key.project.name)
    if seat is None or seat.role != Role.OWNER:
        raise PermissionDenied
    return seat


@admin.register(Project)
class ProjectAdmin(Bounded):
    project = "pk"
    form = ProjectForm
    list_display = ["name", "retention_days", "created_at"]
    search_fields = ["name"]
    ordering = ["name"]
    fields = ["name", "retention_days", "created_at"]

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> list[str]:
        # An owner who could rename would learn which names are taken.
        return ["created_at"] if is_superuser(request) else ["name", "created_at"]

    def save_model(self, request: HttpRequest, obj: Project, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        kinds = {"name": Record.PROJECT_RENAMED, "retention_days": Record.RETENTION_CHANGED}
        for field in form.changed_data if change else []:
            self.tell(request, kinds[field], obj, {"changes": {field: [form.initial[field], getattr(obj, field)]}})
        if not change:
            self.tell(request, Record.PROJECT_MADE, obj, {"name": obj.name, "retention_days": obj.retention_days})

    def tell(self, request: HttpRequest, kind: Record, project: Project, data: dict[str, object]) -> None:
        records.record(project.pk, kind, person_of(request), about=(records.PROJECT, project.pk), data=data)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return is_superuser(request)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Delete none: its events would stay, and nobody could see them."""
        return False


@admin.register(Key)
class KeyAdmin(Bounded):
    """Keys are made, rotated and revoked, and stay. A token is in one answer, and nowhere else."""

    project = "project_id"
    form = KeyForm
    list_display = ["prefix", "project", "label", "scopes", "last_used_at", "expires_at", "revoked_at"]
    list_select_related = ["project"]
    list_filter = [("revoked_at", admin.EmptyFieldListFilter), ("project", admin.RelatedOnlyFieldListFilter)]
    search_fields = ["label", "prefix"]
    ordering = ["-pk"]
    autocomplete_fields = ["project", "reads"]
    change_form_template = "admin/projects/key/change_form.html"
    limits = ("Limits", {"fields": ["expires_at", "rate_limit"]})
    chains = ("Chains", {"fields": ["reads"]})
    state = ("State", {"fields": ["created_at", "last_used_at", "revoked_at", "successor"]})

    def get_fieldsets(self, request: HttpRequest, obj: Model | None = None) -> Any:
        if obj is None:
            return [(None, {"fields": ["project", "label", "scopes"]}), self.limits, self.chains]
        return [
            (None, {"fields": ["prefix", "project", "label", "scopes"]}),
            self.limits,
            self.chains,
            self.state,
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> list[str]:
        of_superusers = [] if is_superuser(request) else ["rate_limit"]
        of_the_key = ["prefix", "project", *self.state[1]["fields"]]
        return of_superusers if obj is None else [*of_the_key, *of_superusers]

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Let nobody change a key that has ended or was rotated: its token is out of hand, and would live again."""
        is_over = isinstance(obj, Key) and (
            obj.revoked_at is not None or obj.successor_id is not None or has_passed(obj.expires_at)
        )
        return not is_over and super().has_change_permission(request, obj)

    def get_urls(self) -> list[URLPattern]:
        views: dict[str, Callable[..., HttpResponse]] = {"rotate": self.rotate_view, "revoke": self.revoke_view}
        own = [
            path(f"<int:object_id>/{name}/", self.admin_site.admin_view(view), name=f"projects_key_{name}")
            for name, view in views.items()
        ]
        return own + super().get_urls()

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None) -> Any:
        shown = {"show_save_and_add_another": False, "show_save_and_continue": False}
        return super().add_view(request, form_url, shown)

    def save_model(self, request: HttpRequest, obj: Key, form: Any, change: bool) -> None:
        if change:
            self.save_changes(request, obj, form)
            return
        token = operations.create_key(obj.project, obj.scopes)
        made = by_token(token)
        obj.pk, obj.prefix, obj.digest = made.pk, made.prefix, made.digest
        obj.token = token  # type: ignore[attr-defined]  # until response_add tells it
        super().save_model(request, obj, form, change)
        form.save_m2m()
        access.tell_made(person_of(request), obj)

    def save_changes(self, request: HttpRequest, key: Key, form: KeyForm) -> None:
        """Write what was changed and nothing else, such as a revocation that another made meanwhile."""
        key.save(update_fields=[name for name in form.changed_data if name != "reads"])
        if form.changed_data:
            changes = {name: form.change_of(name) for name in form.changed_data}
            tell(request, Record.KEY_CHANGED, key, {"changes": changes})
        if "reads" in form.changed_data:
            before, after = set(form.initial["reads"]), set(form.cleaned_data["reads"])
            access.tell_readers(person_of(request), Record.READS_GRANTED, key, after - before)
            access.tell_readers(person_of(request), Record.READS_ENDED, key, before - after)

    def response_add(self, request: HttpRequest, obj: Key, post_url_continue: str | None = None) -> HttpResponse:
        return self.told(request, obj, obj.token)  # type: ignore[attr-defined]  # save_model set it

    def rotate_view(self, request: HttpRequest, object_id: int) -> HttpResponse:
        """Ask how long the old key goes on, and answer with the new token."""
        key = self.living(request, object_id)
        form = RotateForm(request.POST if request.method == "POST" else None)
        if request.method == "POST" and form.is_valid():
            try:
                overlap = timedelta(hours=form.cleaned_data["hours"])
                successor, token = access.rotate_key(seat_of(request, key), key.pk, overlap)
            except Problem as refusal:
                form.add_error(None, str(refusal.detail))
            else:
                self.log_change(request, key, "Rotated.")
                return self.told(request, successor, token)
        return self.asked(request, key, "Rotate", form)

    def revoke_view(self, request: HttpRequest, object_id: int) -> HttpResponse:
        key = self.living(request, object_id)
        if request.method != "POST":
            return self.asked(request, key, "Revoke", forms.Form())
        access.revoke_key(seat_of(request, key), key.pk)
        self.log_change(request, key, "Revoked.")
        messages.success(request, f"The key {key} is revoked.")
        return redirect("admin:projects_key_change", key.pk)

    def living(self, request: HttpRequest, pk: int) -> Key:
        """Return a key within the person's right that isn't revoked. Raises Http404."""
        key: Key = get_object_or_404(self.get_queryset(request).select_related("project"), pk=pk, revoked_at=None)
        return key

    def asked(self, request: HttpRequest, key: Key, verb: str, form: forms.Form) -> HttpResponse:
        context = {"title": f"{verb} {key}", "verb": verb, "key": key, "form": form}
        return self.page(request, "ask", context)

    def told(self, request: HttpRequest, key: Key, token: str) -> HttpResponse:
        return self.page(request, "token", {"title": f"The key {key}", "key": key, "token": Secret(token)})

    def page(self, request: HttpRequest, name: str, context: dict[str, Any]) -> HttpResponse:
        whole = {**self.admin_site.each_context(request), "opts": self.opts, **context}
        return TemplateResponse(request, f"admin/projects/key/{name}.html", whole)


@admin.register(Membership)
class MembershipAdmin(Bounded):
    project = "project_id"
    form = MembershipForm
    list_display = ["user", "project", "role", "created_at"]
    list_select_related = ["user", "project"]
    list_filter = ["role", ("project", admin.RelatedOnlyFieldListFilter)]
    search_fields = ["user__username"]
    ordering = ["-pk"]
    autocomplete_fields = ["project"]
    fieldsets = [(None, {"fields": ["project", "user", "role"]})]

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> list[str]:
        return [] if obj is None else ["project", "user"]

    def save_model(self, request: HttpRequest, obj: Membership, form: Any, change: bool) -> None:
        if not change:
            super().save_model(request, obj, form, change)
            tell(request, Record.MEMBER_ADDED, obj, {})
        elif form.changed_data:
            obj.save(update_fields=form.changed_data)
            tell(request, Record.MEMBER_CHANGED, obj, {"changes": {"role": [form.initial["role"], obj.role]}})

    def delete_model(self, request: HttpRequest, obj: Membership) -> None:
        tell(request, Record.MEMBER_REMOVED, obj, {})
        super().delete_model(request, obj)

    @transaction.atomic
    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Membership]) -> None:
        for membership in queryset:
            self.delete_model(request, membership)


@admin.register(User)
class PersonAdmin(UserAdmin):  # type: ignore[type-arg]  # not generic at run time
    """People, for superusers only. Staff and Django's own permissions decide nothing here, and aren't shown."""

    list_display = ["username", "email", "is_active", "is_superuser", "last_login"]
    list_filter = ["is_active", "is_superuser"]
    filter_horizontal = []
    readonly_fields = ["last_login", "date_joined"]
    show_full_result_count = False
    fieldsets = [
        (None, {"fields": ["username", "password"]}),
        ("Personal info", {"fields": ["first_name", "last_name", "email"]}),
        ("Rights", {"fields": ["is_active", "is_superuser"]}),
        ("Dates", {"fields": ["last_login", "date_joined"]}),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        # Otherwise a history would tell whether there is a user of an id.
        everybody = super().get_queryset(request)
        return everybody if is_superuser(request) else everybody.none()

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if change and form.changed_data:
            self.tell(request, obj, form.changed_data)

    def log_change(self, request: HttpRequest, obj: User, message: Any) -> Any:
        if any("password" in each.get("changed", {}).get("fields", []) for each in message):  # a page of its own
            self.tell(request, obj, ["password"])
        return super().log_change(request, obj, message)

    def tell(self, request: HttpRequest, user: User, fields: list[str]) -> None:
        """Record it in each project of his: whoever sets another's password may act as him, a superuser anywhere."""
        about, data = (records.USER, user.pk), {"username": records.told(user.username), "fields": fields}
        is_anywhere = user.is_superuser or "is_superuser" in fields
        for project in Project.objects.all() if is_anywhere else queries.projects_of(user, *Role):
            records.record(project.pk, Record.USER_CHANGED, person_of(request), about=about, data=data)

    @transaction.atomic
    def delete_model(self, request: HttpRequest, obj: User) -> None:
        for membership in obj.memberships.all():
            tell(request, Record.MEMBER_REMOVED, membership, {})
        super().delete_model(request, obj)

    @transaction.atomic
    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        for user in queryset:
            self.delete_model(request, user)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return is_superuser(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return is_superuser(request)

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return is_superuser(request)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return is_superuser(request)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return is_superuser(request)

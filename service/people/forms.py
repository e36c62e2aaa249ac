"""What is asked in the admin about keys and members."""

from datetime import datetime
from typing import Any

from django import forms
from django.conf import settings
from django.contrib.admin.widgets import AdminTextInputWidget
from django.contrib.auth.models import User
from django.db.models import QuerySet

from service.access import operations as access
from service.events import records
from service.events.serializers import rfc3339
from service.projects.authentication import has_passed
from service.projects.models import Key, Membership, Project, Scope

MOST_HOURS = 24 * 90  # that a rotated key may go on


class KeyForm(forms.ModelForm):  # type: ignore[type-arg]  # not generic at run time
    """``reads`` offers the projects that the person owns; others that the key has stay as they are, unseen."""

    scopes = forms.MultipleChoiceField(choices=Scope.choices, widget=forms.CheckboxSelectMultiple)

    class Meta:
        model = Key
        fields = ("label", "scopes", "reads", "expires_at", "rate_limit")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.unseen: list[Project] = []
        if self.instance.pk is not None and "reads" in self.fields:  # which who may only look has none of
            field = self.fields["reads"]
            own = {*field.queryset.filter(readers=self.instance)}  # type: ignore[attr-defined]  # it is of many
            self.unseen = [project for project in self.instance.reads.all() if project not in own]
            self.initial["reads"] = [*own]

    def clean(self) -> dict[str, Any] | None:
        """Hold to the rules of ``keys/``: a label is one usable key's, and there are so many at the most."""
        project = self.cleaned_data.get("project") or (self.instance.project_id and self.instance.project)
        label, expires_at = self.cleaned_data.get("label"), self.cleaned_data.get("expires_at")
        if "expires_at" in self.changed_data and has_passed(expires_at):
            self.add_error("expires_at", "That has passed: the key would never work.")
        try:
            if project and label and "label" in self.changed_data:
                access.refuse_taken_label(project, label)
        except access.Conflict as refusal:
            self.add_error("label", str(refusal.detail))
        try:
            if project and self.instance.pk is None:
                access.refuse_too_many(project)
        except access.Conflict as refusal:
            self.add_error(None, str(refusal.detail))
        return super().clean()

    def change_of(self, name: str) -> list[object]:
        """Return a field's value before and after, as a record may have it."""
        return [plain(values.get(name)) for values in (self.initial, self.cleaned_data)]

    def _save_m2m(self) -> None:
        self.instance.reads.set([*self.cleaned_data["reads"], *self.unseen])


def plain(value: object) -> object:
    match value:
        case datetime():
            return rfc3339(value)
        case str():
            return records.told(value)
        case list() | QuerySet():
            return sorted(each.name if isinstance(each, Project) else str(each) for each in value)
    return value


class ProjectForm(forms.ModelForm):  # type: ignore[type-arg]  # not generic at run time
    class Meta:
        model = Project
        fields = ("name", "retention_days")

    def clean_retention_days(self) -> int | None:
        days: int | None = self.cleaned_data["retention_days"]
        if days is not None and "retention_days" in self.changed_data and days > settings.RETENTION_DAYS:
            raise forms.ValidationError(
                f"The service keeps events for {settings.RETENTION_DAYS} days: that is the most."
            )
        return days


class RotateForm(forms.Form):
    hours = forms.IntegerField(
        label="Hours for which the old key still works",
        min_value=0,
        max_value=MOST_HOURS,
        initial=24,
        help_text="Time to put the new key in place. 0 ends the old one at once.",
    )


class MembershipForm(forms.ModelForm):  # type: ignore[type-arg]  # not generic at run time
    """A person is named, not chosen: who owns a project is not told who else there is."""

    user = forms.ModelChoiceField(
        User.objects.all(),
        to_field_name="username",
        widget=AdminTextInputWidget,
        help_text="The exact user name.",
        error_messages={"invalid_choice": "There is nobody of this user name."},
    )

    class Meta:
        model = Membership
        fields = ("project", "user", "role")

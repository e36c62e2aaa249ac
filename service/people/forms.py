"""What is asked in the admin about keys and members."""

from datetime import datetime
from typing import Any

from django import forms
from django.contrib.admin.widgets import AdminTextInputWidget
from django.contrib.auth.models import User
from django.db.models import QuerySet

from service.events import records
from service.events.serializers import rfc3339
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

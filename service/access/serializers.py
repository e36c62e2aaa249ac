"""Keys and projects as JSON, and what is asked about a key, for the schema; `documents` has what is read."""

from typing import Any

from rest_framework import serializers

from service.api import limits
from service.events.serializers import rfc3339
from service.projects import retention
from service.projects.models import Key, Project, Role, Scope


def represent(key: Key) -> dict[str, Any]:
    """Return ``key`` without its digest, which is nobody's to read."""
    return {
        "id": key.pk,
        "prefix": key.prefix,
        "label": key.label,
        "scopes": key.scopes,
        "rate_limit": key.rate_limit,
        "created": rfc3339(key.created_at),
        "last_used": key.last_used_at and rfc3339(key.last_used_at),
        "expires": key.expires_at and rfc3339(key.expires_at),
        "revoked": key.revoked_at and rfc3339(key.revoked_at),
        "successor": key.successor_id,
    }


def represent_made(key: Key, token: str) -> dict[str, Any]:
    return {"token": token, **represent(key)}


class KeySerializer(serializers.Serializer[Key]):
    """A key of the project. Of its token there is only the beginning."""

    id = serializers.IntegerField()
    prefix = serializers.CharField(help_text="The token's beginning, to tell keys apart.")
    label = serializers.CharField(help_text="Where the key is used.")  # type: ignore[assignment]  # DRF pops fields
    scopes = serializers.ListField(child=serializers.ChoiceField(Scope.values))
    rate_limit = serializers.IntegerField(
        allow_null=True, help_text="Requests a minute; 0 for any number, null for the service's `RATE_LIMIT`."
    )
    created = serializers.DateTimeField()
    last_used = serializers.DateTimeField(allow_null=True, help_text="Exact to a minute.")
    expires = serializers.DateTimeField(allow_null=True, help_text="From then on it is refused.")
    revoked = serializers.DateTimeField(allow_null=True, help_text="When it was ended.")
    successor = serializers.IntegerField(allow_null=True, help_text="The id of the key that took its place.")

    def to_representation(self, instance: Key) -> dict[str, Any]:
        return represent(instance)


class MadeKeySerializer(KeySerializer):
    """A key that was just made, with its token, which is shown this once."""

    token = serializers.CharField(help_text="What to send as `Authorization: Bearer hg_…`. It can't be had again.")


class NewKeySerializer(serializers.Serializer[Any]):
    """A key to make."""

    label = serializers.CharField(  # type: ignore[assignment]  # DRF pops fields
        min_length=1, max_length=100, help_text="Where the key is used; no other usable key may have it."
    )
    scopes = serializers.ListField(
        child=serializers.ChoiceField(Scope.values),
        min_length=1,
        max_length=len(Scope),
        help_text="Of those that the caller has.",
    )
    expires = serializers.DateTimeField(required=False, allow_null=True, help_text="Never, unless told.")


class NewLabelSerializer(serializers.Serializer[Any]):
    """What of a key can be changed."""

    label = serializers.CharField(min_length=1, max_length=100)  # type: ignore[assignment]  # DRF pops fields


class RotationSerializer(serializers.Serializer[Any]):
    """How a key is rotated."""

    overlap = serializers.IntegerField(
        min_value=0, max_value=limits.OVERLAP, help_text="Seconds for which the old key works beside the new one."
    )


def represent_project(project: Project, role: Role | None, scopes: frozenset[str]) -> dict[str, Any]:
    return {
        "name": project.name,
        "created": rfc3339(project.created_at),
        "role": role,
        "scopes": [scope for scope in Scope.values if scope in scopes],
        "retention_days": retention.bounded(project.retention_days),
    }


class ProjectSerializer(serializers.Serializer[Any]):
    """A project, as the caller may see it."""

    name = serializers.CharField()
    created = serializers.DateTimeField()
    role = serializers.ChoiceField(Role.values, allow_null=True, help_text="The person's; null for a key.")
    scopes = serializers.ListField(
        child=serializers.ChoiceField(Scope.values), help_text="What the caller may do in it."
    )
    retention_days = serializers.IntegerField(help_text="Days for which its events are kept.")


class ProjectChangeSerializer(serializers.Serializer[Any]):
    """What of a project can be changed."""

    retention_days = serializers.IntegerField(
        min_value=1, allow_null=True, help_text="At the most the service's `RETENTION_DAYS`; null for those."
    )

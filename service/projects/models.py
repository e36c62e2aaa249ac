"""Who may send and read: projects (tenants) and their keys."""

from django.contrib.postgres.fields import ArrayField
from django.core.validators import MinLengthValidator
from django.db import models
from django.utils import timezone


class Scope(models.TextChoices):
    """What a key may do. A scope never implies another."""

    EVENTS_WRITE = "events:write", "Send events"
    EVENTS_READ = "events:read", "Read events"
    SUBSCRIPTIONS = "subscriptions", "Manage subscriptions"
    ADMIN = "admin", "Manage projects and keys"


class Project(models.Model):
    """One client system. All that it sends is seen by its own keys only."""

    # Unique: create_key and the admin find a project by its name.
    name = models.SlugField(max_length=100, unique=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    def __str__(self) -> str:
        return self.name


class Key(models.Model):
    """A key of a project. The token is shown once, when it is made; only its SHA-256 stays."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="keys")
    label = models.CharField(max_length=100, blank=True, help_text="Where the key is used.")
    prefix = models.CharField(max_length=12, editable=False, help_text="The token's beginning, to tell keys apart.")
    # Unique: every request looks its key up by this digest.
    digest = models.BinaryField(max_length=32, unique=True, editable=False, validators=[MinLengthValidator(32)])
    reads = models.ManyToManyField(
        Project, blank=True, related_name="readers", help_text="Further projects whose events it sees in chains."
    )
    scopes = ArrayField(models.CharField(max_length=32, choices=Scope.choices))
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    last_used_at = models.DateTimeField(null=True, editable=False, help_text="Exact to a minute.")
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.prefix}…"

"""Who may send and read: projects (tenants), their keys, and the people in them."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.validators import MinLengthValidator, MinValueValidator
from django.db import models
from django.utils import timezone


class Scope(models.TextChoices):
    """What a key may do. A scope never implies another."""

    EVENTS_WRITE = "events:write", "Send events"
    EVENTS_READ = "events:read", "Read events"
    SUBSCRIPTIONS = "subscriptions", "Manage subscriptions"
    ADMIN = "admin", "Manage projects and keys"


class Role(models.TextChoices):
    """What a person may do in a project."""

    VIEWER = "viewer", "Viewer: reads events"
    MEMBER = "member", "Member: reads events, manages subscriptions"
    OWNER = "owner", "Owner: all of it, with keys and members"

    @property
    def scopes(self) -> frozenset[str]:
        return SCOPES[self]


SCOPES: dict[Role, frozenset[str]] = {
    Role.VIEWER: frozenset({Scope.EVENTS_READ}),
    Role.MEMBER: frozenset({Scope.EVENTS_READ, Scope.SUBSCRIPTIONS}),
    Role.OWNER: frozenset(Scope),
}


class Project(models.Model):
    """One client system. All that it sends is seen by its own keys and members only."""

    # Unique: create_key and the admin find a project by its name.
    name = models.SlugField(max_length=100, unique=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    retention_days = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Days that its events are kept; RETENTION_DAYS where empty, and at the most.",
    )

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
    rate_limit = models.PositiveIntegerField(
        null=True, blank=True, help_text="Requests a minute; 0 for any number, empty for RATE_LIMIT."
    )
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    # One to one: a key is rotated once, so that a second try makes no third key.
    successor = models.OneToOneField(
        "self",
        null=True,
        on_delete=models.SET_NULL,
        related_name="predecessor",
        editable=False,
        help_text="The key that took its place.",
    )

    def __str__(self) -> str:
        return f"{self.prefix}…"


class Membership(models.Model):
    """A person in a project. Who is in none sees nothing; a superuser is an owner everywhere."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=16, choices=Role.choices, default=Role.VIEWER)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [
            # A person's request to the API finds the role by both, the admin the projects by the user.
            models.UniqueConstraint(
                fields=["user", "project"],
                name="one_role_in_a_project",
                violation_error_message="This person is in the project already.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user} in {self.project}"

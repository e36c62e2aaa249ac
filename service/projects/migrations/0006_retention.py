"""How long a project keeps its events."""

from django.core.validators import MinValueValidator
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("projects", "0005_access")]

    operations = [
        migrations.AddField(
            "project",
            "retention_days",
            models.PositiveIntegerField(
                blank=True,
                help_text="Days that its events are kept; RETENTION_DAYS where empty, and at the most.",
                null=True,
                validators=[MinValueValidator(1)],
            ),
        ),
    ]

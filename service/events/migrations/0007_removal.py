"""Deltas of what was taken away, which is neither the oldest nor the newest of anything."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("events", "0006_strays")]

    operations = [
        migrations.AlterField(
            "delta", "oldest", models.DateTimeField(help_text="When the first of the events occurred.", null=True)
        ),
        migrations.AlterField("delta", "newest", models.DateTimeField(null=True)),
    ]

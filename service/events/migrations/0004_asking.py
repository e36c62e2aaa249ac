"""What the filters on types and traces are answered by."""

import service.events.models
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("events", "0003_delta_arrival")]

    operations = [
        migrations.AlterField("event", "data", models.JSONField(decoder=service.events.models.Exact, null=True)),
        migrations.AlterField("event", "type", models.TextField(db_collation="C")),
        migrations.AddIndex(
            "event",
            models.Index(
                models.F("project_id"),
                models.F("trace_id"),
                models.F("id"),
                condition=models.Q(trace_id__isnull=False),
                name="event_trace",
            ),
        ),
    ]

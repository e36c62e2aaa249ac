"""The partitioned event table.

Written by hand: Django can't declare a partitioned table. Its indexes and columns are those of the model, which a
test compares with what is really there.
"""

from django.db import migrations, models

CREATE = """
CREATE TABLE event (
    project_id integer NOT NULL,
    id uuid NOT NULL,
    type text NOT NULL,
    source text NOT NULL,
    sender text,
    object_id text,
    action text,
    actor text,
    correlation_id text,
    causation_id text,
    trace_id uuid,
    emitter_id uuid,
    sequence bigint,
    outcome text,
    occurred_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    data jsonb,
    extensions jsonb,
    -- Dedup at ingest; one event by id; the newest page of a project; a range of time.
    PRIMARY KEY (project_id, id)
) PARTITION BY RANGE (id)
"""


class Migration(migrations.Migration):
    initial = True
    dependencies = []

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(CREATE, "DROP TABLE event")],
            state_operations=[
                migrations.CreateModel(
                    name="Event",
                    fields=[
                        (
                            "pk",
                            models.CompositePrimaryKey(
                                "project_id", "id", blank=True, editable=False, primary_key=True, serialize=False
                            ),
                        ),
                        ("project_id", models.IntegerField()),
                        (
                            "id",
                            models.UUIDField(
                                help_text="UUIDv7: the dedup key, the order in time and the partition key in one."
                            ),
                        ),
                        ("type", models.TextField()),
                        ("source", models.TextField()),
                        ("sender", models.TextField(null=True)),
                        ("object_id", models.TextField(null=True)),
                        ("action", models.TextField(null=True)),
                        ("actor", models.TextField(null=True)),
                        ("correlation_id", models.TextField(null=True)),
                        ("causation_id", models.TextField(null=True)),
                        (
                            "trace_id",
                            models.UUIDField(
                                help_text="The trace id of traceparent, which is 128 bits too.", null=True
                            ),
                        ),
                        ("emitter_id", models.UUIDField(null=True)),
                        ("sequence", models.BigIntegerField(null=True)),
                        ("outcome", models.TextField(null=True)),
                        ("occurred_at", models.DateTimeField()),
                        ("received_at", models.DateTimeField()),
                        ("data", models.JSONField(null=True)),
                        (
                            "extensions",
                            models.JSONField(
                                help_text="CloudEvents attributes that have no column.", null=True
                            ),
                        ),
                    ],
                    options={"db_table": "event"},
                ),
            ],
        ),
        migrations.AddIndex(
            "event", models.Index("project_id", "sender", "object_id", "id", name="event_object")
        ),
        migrations.AddIndex("event", models.Index("project_id", "actor", "id", name="event_actor")),
        migrations.AddIndex("event", models.Index("project_id", "correlation_id", "id", name="event_correlation")),
        migrations.AddIndex("event", models.Index("project_id", "type", "id", name="event_type")),
    ]

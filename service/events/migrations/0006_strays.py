"""What finds the events of a range of time that the ids near it don't have: a small index of those few."""

from django.db import migrations, models
from django.db.models import Func, Q

# Whether the time is over five minutes from that of the id, whose first 48 bits are milliseconds.
IS_STRAY = """
CREATE FUNCTION event_is_stray(id uuid, occurred_at timestamptz) RETURNS boolean LANGUAGE sql IMMUTABLE
RETURN abs(
    date_part('epoch', occurred_at AT TIME ZONE 'UTC') * 1000
    - ('x' || left(id::text, 8) || substr(id::text, 10, 4))::bit(48)::bigint
) > 300000
"""


class Migration(migrations.Migration):
    dependencies = [("events", "0005_objects")]

    operations = [
        migrations.RunSQL(IS_STRAY, "DROP FUNCTION event_is_stray(uuid, timestamptz)"),
        migrations.AddIndex(
            "event",
            models.Index(
                "project_id",
                "id",
                name="event_stray",
                condition=Q(Func("id", "occurred_at", function="event_is_stray", output_field=models.BooleanField())),
            ),
        ),
    ]

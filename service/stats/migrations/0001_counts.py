"""Counts of events by series, hour and day; and what was stored before, as deltas to be folded."""

import django.db.models.deletion
from django.db import migrations, models

RECOUNT = """
LOCK TABLE event IN SHARE MODE;
DELETE FROM event_delta;
INSERT INTO event_delta (project_id, id, hour, type, source, sender, action, outcome, count, oldest, newest)
SELECT
    project_id, min(id::text COLLATE "C")::uuid,
    date_trunc('hour', occurred_at, 'UTC') AS hour, type, source, sender, action, outcome, count(*), min(occurred_at), max(occurred_at)
FROM event
GROUP BY project_id, hour, type, source, sender, action, outcome;
"""
SIGNALS = """
CREATE VIEW event_signal AS
SELECT
    project_id, type, sender, coalesce(sender, '') AS place, sum(count)::bigint AS count, min(oldest) AS first_seen,
    max(newest) AS last_seen
FROM (
    SELECT project_id, type, sender, count, oldest, newest FROM event_series WHERE rolled = 11 -- by type and sender
    UNION ALL
    SELECT project_id, type, sender, count, oldest, newest FROM event_delta
) AS counted
GROUP BY project_id, type, sender
"""


class Migration(migrations.Migration):

    initial = True

    dependencies = [("events", "0006_strays")]

    operations = [
        migrations.CreateModel(
            name='Series',
            fields=[
                ('pk', models.CompositePrimaryKey('project_id', 'id', blank=True, editable=False, primary_key=True, serialize=False)),
                ('project_id', models.IntegerField()),
                ('id', models.UUIDField()),
                ('rolled', models.SmallIntegerField(help_text="Which dimensions are counted together: SQL's GROUPING() of them.")),
                ('type', models.TextField(null=True)),
                ('source', models.TextField(null=True)),
                ('sender', models.TextField(null=True)),
                ('action', models.TextField(null=True)),
                ('outcome', models.TextField(null=True)),
                ('count', models.BigIntegerField()),
                ('oldest', models.DateTimeField()),
                ('newest', models.DateTimeField()),
            ],
            options={
                'db_table': 'event_series',
            },
        ),
        migrations.CreateModel(
            name='Count',
            fields=[
                ('pk', models.CompositePrimaryKey('project_id', 'rolled', 'hours', 'moment', 'series_id', blank=True, editable=False, primary_key=True, serialize=False)),
                ('project_id', models.IntegerField()),
                ('series_id', models.UUIDField()),
                ('rolled', models.SmallIntegerField()),
                ('hours', models.SmallIntegerField(help_text='1 or 24.')),
                ('moment', models.DateTimeField(help_text='When the hour or the day begins, in UTC.')),
                ('count', models.BigIntegerField()),
                ('oldest', models.DateTimeField()),
                ('series', models.ForeignObject(from_fields=['project_id', 'series_id'], on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='stats.series', to_fields=['project_id', 'id'])),
            ],
            options={
                'db_table': 'event_count',
            },
        ),
        migrations.RunSQL(RECOUNT, migrations.RunSQL.noop),
        migrations.CreateModel(
            name='Signal',
            fields=[
                ('pk', models.CompositePrimaryKey('project_id', 'type', 'place', blank=True, editable=False, primary_key=True, serialize=False)),
                ('project_id', models.IntegerField()),
                ('type', models.TextField()),
                ('sender', models.TextField(null=True)),
                ('place', models.TextField(help_text='The sender, or an empty text: what can be compared.')),
                ('count', models.BigIntegerField()),
                ('first_seen', models.DateTimeField()),
                ('last_seen', models.DateTimeField()),
            ],
            options={
                'db_table': 'event_signal',
                'managed': False,
            },
        ),
        migrations.RunSQL(SIGNALS, "DROP VIEW event_signal"),
    ]

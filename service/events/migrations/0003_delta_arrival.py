"""Deltas, arrivals, and the function that stores events together with all that is written of them.

A function, since all has to be one commit, and more round trips would cost a tenth of the rate of ingest. One
statement in it, which Postgres plans once a connection. See docs/why/tallied-numbers.md.

The id of a tally or a delta begins as that of its first event; the rest is random, since an event that was removed may
come again before they are added up.
"""

import service.events.models
from django.db import migrations, models

STORE_EVENTS = """
DROP FUNCTION IF EXISTS store_events(integer, jsonb);
CREATE FUNCTION store_events(project integer, document jsonb) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
    news text[];
    highest CONSTANT bigint := 9007199254740991; -- 2^53 - 1; beyond, what is made of numbers would overflow
BEGIN
    WITH stored AS (
        INSERT INTO event (
            project_id, id, type, source, sender, object_id, action, actor, correlation_id, causation_id, trace_id,
            emitter_id, sequence, outcome, occurred_at, received_at, data, extensions
        )
        SELECT
            project, id, type, source, sender, object_id, action, actor, correlation_id, causation_id, trace_id,
            emitter_id, sequence, outcome, occurred_at, now(), data, extensions
        FROM jsonb_to_recordset(document) AS row (
            id uuid, type text, source text, sender text, object_id text, action text, actor text, correlation_id text,
            causation_id text, trace_id uuid, emitter_id uuid, sequence bigint, outcome text, occurred_at timestamptz,
            data jsonb, extensions jsonb
        )
        ON CONFLICT DO NOTHING
        RETURNING
            event.id, event.type, event.source, event.sender, event.action, event.emitter_id, event.sequence,
            event.outcome, event.occurred_at
    ), tally AS (
        INSERT INTO event_tally (project_id, id, emitter_id, source, sequences, stored_at)
        SELECT
            project, (substr(min(id::text COLLATE "C"), 1, 14) || substr(gen_random_uuid()::text, 15))::uuid,
            emitter_id, min(source), range_agg(int8range(sequence, sequence + 1)), now()
        FROM stored
        WHERE emitter_id IS NOT NULL AND sequence BETWEEN 1 AND highest -- an emitter counts from 1
        GROUP BY emitter_id
    ), delta AS (
        INSERT INTO event_delta (project_id, id, hour, type, source, sender, action, outcome, count, oldest, newest)
        SELECT
            project, (substr(min(id::text COLLATE "C"), 1, 14) || substr(gen_random_uuid()::text, 15))::uuid,
            date_trunc('hour', occurred_at, 'UTC') AS hour, type, source, sender, action, outcome,
            count(*), min(occurred_at), max(occurred_at)
        FROM stored
        GROUP BY hour, type, source, sender, action, outcome
    ), arrival AS (
        INSERT INTO event_arrival (project_id, id, ids, stored_at)
        SELECT project, (array_agg(id))[1], array_agg(id), now()
        FROM stored
        HAVING count(*) > 0
    )
    SELECT array_agg(id::text) INTO news FROM stored;
    RETURN coalesce(news, '{}');
END
$$
"""
# Lists of UUIDs don't get smaller by compression.
KEEP_IDS_PLAIN = "ALTER TABLE event_arrival ALTER ids SET STORAGE EXTERNAL"


class Migration(migrations.Migration):
    dependencies = [("events", "0002_tally")]

    operations = [
        migrations.CreateModel(
            name='Arrival',
            fields=[
                ('pk', models.CompositePrimaryKey('project_id', 'tx', 'id', blank=True, editable=False, primary_key=True, serialize=False)),
                ('project_id', models.IntegerField()),
                ('tx', service.events.models.TransactionId(db_default=models.Func(function='pg_current_xact_id'))),
                ('id', models.UUIDField()),
                ('ids', service.events.models.UUIDs()),
                ('stored_at', models.DateTimeField()),
            ],
            options={
                'db_table': 'event_arrival',
            },
        ),
        migrations.CreateModel(
            name='Delta',
            fields=[
                ('pk', models.CompositePrimaryKey('project_id', 'id', blank=True, editable=False, primary_key=True, serialize=False)),
                ('project_id', models.IntegerField()),
                ('id', models.UUIDField()),
                ('hour', models.DateTimeField(help_text='The beginning of the hour, in UTC, in which the events occurred.')),
                ('type', models.TextField()),
                ('source', models.TextField()),
                ('sender', models.TextField(null=True)),
                ('action', models.TextField(null=True)),
                ('outcome', models.TextField(null=True)),
                ('count', models.BigIntegerField()),
                ('oldest', models.DateTimeField(help_text='When the first of the events occurred.')),
                ('newest', models.DateTimeField()),
            ],
            options={
                'db_table': 'event_delta',
            },
        ),
        migrations.RunSQL(KEEP_IDS_PLAIN, migrations.RunSQL.noop),
        migrations.RunSQL(STORE_EVENTS, "DROP FUNCTION store_events"),
    ]

"""Tallies of the sequence numbers that are stored, and the function that stores events together with them.

A function, since both have to be one commit, and a second round trip would cost a tenth of the rate of ingest. See
docs/why/tallied-numbers.md.
"""

import service.events.models
from django.db import migrations, models

STORE_EVENTS = """
CREATE FUNCTION store_events(project integer, document jsonb) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    stored record;
    ids uuid[] := '{}';
    emitters uuid[] := '{}';
    sources text[] := '{}';
    firsts bigint[] := '{}';
    lasts bigint[] := '{}';
    highest CONSTANT bigint := 9007199254740991; -- 2^53 - 1; beyond, what is made of numbers would overflow
    runs integer := 0; -- of numbers that follow each other: one, as a rule, since a batch is sorted by id
BEGIN
    FOR stored IN
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
        RETURNING event.id, event.emitter_id, event.source, event.sequence
    LOOP
        RETURN NEXT stored.id;
        -- An emitter counts from 1.
        IF stored.emitter_id = emitters[runs] AND stored.sequence = lasts[runs] + 1 AND lasts[runs] < highest THEN
            lasts[runs] := stored.sequence;
        ELSIF stored.emitter_id IS NOT NULL AND stored.sequence BETWEEN 1 AND highest THEN
            runs := runs + 1;
            ids[runs] := stored.id;
            emitters[runs] := stored.emitter_id;
            sources[runs] := stored.source;
            firsts[runs] := stored.sequence;
            lasts[runs] := stored.sequence;
        END IF;
    END LOOP;
    IF runs > 0 THEN
        INSERT INTO event_tally (project_id, id, emitter_id, source, sequences, stored_at)
        SELECT project, min(id::text)::uuid, emitter_id, min(source), range_agg(int8range(first, last + 1)), now()
        FROM unnest(ids, emitters, sources, firsts, lasts) AS run (id, emitter_id, source, first, last)
        GROUP BY emitter_id;
    END IF;
END
$$
"""


class Migration(migrations.Migration):
    dependencies = [("events", "0001_initial")]

    operations = [
        migrations.CreateModel(
            name='Tally',
            fields=[
                ('pk', models.CompositePrimaryKey('project_id', 'id', blank=True, editable=False, primary_key=True, serialize=False)),
                ('project_id', models.IntegerField()),
                ('id', models.UUIDField()),
                ('emitter_id', models.UUIDField()),
                ('source', models.TextField()),
                ('sequences', service.events.models.Int8Multirange()),
                ('stored_at', models.DateTimeField()),
            ],
            options={
                'db_table': 'event_tally',
            },
        ),
        migrations.RunSQL(STORE_EVENTS, "DROP FUNCTION store_events"),
    ]

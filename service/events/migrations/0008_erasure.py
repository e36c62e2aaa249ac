"""Erasures of objects and actors: what is asked for, and what keeps their events from coming again.

`store_events` leaves out of what it is given whatever was erased. See docs/why/erased-and-remembered.md.
"""

from importlib import import_module

import service.events.models
from django.db import migrations, models
from django.db.models.fields.json import KeyTransform

DELTAS = import_module("service.events.migrations.0003_delta_arrival")
# Nothing is looked up where nothing was erased. The transaction gets its number before it looks: an erasure waits for
# all with a smaller number than those that began after it could be seen.
LOOK = """
    PERFORM pg_current_xact_id();
    IF EXISTS (SELECT FROM event_erasure_key WHERE project_id = project) THEN
        document := event_without_erased(project, document);
    END IF;
"""
STORE_EVENTS = DELTAS.STORE_EVENTS.replace("BEGIN\n", f"BEGIN{LOOK}", 1)

# A key as the subject of an event has it, as in 0005_objects.
KEY = """
CREATE FUNCTION event_key(pk jsonb) RETURNS text LANGUAGE sql IMMUTABLE
RETURN CASE jsonb_typeof(pk)
    WHEN 'array' THEN (
        SELECT string_agg(part, ',' ORDER BY place)
        FROM jsonb_array_elements_text(pk) WITH ORDINALITY AS parts (part, place)
    )
    WHEN 'object' THEN NULL
    ELSE pk #>> '{}'
END
"""
KEYS = """
CREATE FUNCTION event_keys(data jsonb) RETURNS text[] LANGUAGE sql IMMUTABLE
RETURN ARRAY(
    SELECT event_key(pk)
    FROM jsonb_array_elements(CASE jsonb_typeof(data -> 'pks') WHEN 'array' THEN data -> 'pks' ELSE '[]' END) AS pks (pk)
    WHERE event_key(pk) IS NOT NULL
)
"""
# The keys that the conditions of a call on many rows compare something with, be it the primary key or not.
CONDITIONS = """
CREATE FUNCTION event_where_keys(data jsonb) RETURNS text[] LANGUAGE sql IMMUTABLE
RETURN ARRAY(
    SELECT event_key(value)
    FROM jsonb_each(CASE jsonb_typeof(data -> 'where') WHEN 'object' THEN data -> 'where' ELSE '{}' END) AS each (name, whole),
        jsonb_array_elements(CASE jsonb_typeof(whole) WHEN 'array' THEN whole ELSE jsonb_build_array(whole) END) AS one (value)
    WHERE event_key(value) IS NOT NULL
)
"""
# Keys become null at their places, and the row at such a place empty. Rows go that may be at others' places, as those of
# new objects that got no key; and so do conditions, which say again which rows were met.
UNNAMED = """
CREATE FUNCTION event_unnamed(data jsonb, erased text[]) RETURNS jsonb LANGUAGE sql IMMUTABLE
RETURN data
    || CASE WHEN data ? 'where' THEN '{"where": null}' ELSE '{}' END::jsonb
    || CASE WHEN jsonb_typeof(data -> 'pks') = 'array' THEN jsonb_build_object('pks', (
        SELECT coalesce(jsonb_agg(CASE WHEN event_key(pk) = ANY(erased) THEN 'null' ELSE pk END ORDER BY place), '[]')
        FROM jsonb_array_elements(data -> 'pks') WITH ORDINALITY AS pks (pk, place)
    )) ELSE '{}' END
    || CASE
        WHEN jsonb_typeof(data -> 'rows') IS DISTINCT FROM 'array' THEN '{}'
        WHEN jsonb_typeof(data -> 'pks') = 'array' AND to_jsonb(jsonb_array_length(data -> 'pks')) = data -> 'count'
        THEN jsonb_build_object('rows', (
            SELECT coalesce(
                jsonb_agg(
                    CASE WHEN event_key(data -> 'pks' -> (place - 1)::int) = ANY(erased) THEN '{}' ELSE line END
                    ORDER BY place
                ),
                '[]'
            )
            FROM jsonb_array_elements(data -> 'rows') WITH ORDINALITY AS lines (line, place)
        ))
        ELSE '{"rows": []}'
    END
"""
# Who did it, as entries say it that were imported: emitter/history.
UNSIGNED = """
CREATE FUNCTION event_unsigned(data jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE
RETURN CASE WHEN jsonb_typeof(data) = 'object' AND data ? 'imported' THEN data - '{actor_email,ip,port,context}'::text[] ELSE data END
"""
# What was asked when its answer was read; who asked, and when, stays, and of what kind it was if that names nobody.
UNASKED = """
CREATE FUNCTION event_unasked(data jsonb, kind text) RETURNS jsonb LANGUAGE sql IMMUTABLE
RETURN CASE WHEN jsonb_typeof(data) <> 'object' THEN data ELSE
    CASE WHEN data ->> 'path' ~ '/objects/' THEN data - 'path' ELSE data END - 'parameters'
        || jsonb_build_object('erased', kind)
END
"""
DIGEST = """
CREATE FUNCTION event_subject_digest(key bytea, kind text, subject text) RETURNS bytea LANGUAGE sql IMMUTABLE
RETURN sha256(key || convert_to(kind || ':' || subject, 'UTF8'))
"""
IS_ERASED = """
CREATE FUNCTION event_is_erased(project integer, secret bytea, what text, name text, moment timestamptz)
RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF name IS NULL THEN
        RETURN false;
    END IF;
    PERFORM FROM event_erasure
    WHERE project_id = project AND digest = event_subject_digest(secret, what, name) AND asked_at > moment;
    RETURN FOUND;
END
$$
"""
# The same as `retention.erasure` does to what is stored already; but of reads, which are recorded a moment after they were
# answered, each forgets what was asked. What occurred after the last erasure is as it is, which nearly all is.
WITHOUT_ERASED = """
CREATE FUNCTION event_without_erased(project integer, document jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    secret bytea;
    latest timestamptz;
    line jsonb;
    kept jsonb[] := '{}';
    moment timestamptz;
    object text;
    names text[];
    erased text[];
BEGIN
    SELECT key, asked_at INTO secret, latest FROM event_erasure_key WHERE project_id = project;
    IF NOT EXISTS (
        SELECT FROM jsonb_array_elements(document) AS each (one) WHERE (one ->> 'occurred_at')::timestamptz < latest
    ) THEN
        RETURN document;
    END IF;
    FOR line IN SELECT jsonb_array_elements(document) LOOP
        moment := line ->> 'occurred_at';
        object := coalesce((line ->> 'sender') || '/' || (line ->> 'object_id'), line -> 'extensions' ->> 'subject');
        CONTINUE WHEN event_is_erased(project, secret, 'object', object, moment);
        IF event_is_erased(project, secret, 'actor', line ->> 'actor', moment) THEN
            CONTINUE WHEN object = line ->> 'actor' OR object IS NULL AND (line -> 'data' -> 'model') IS NULL;
            line := (line - 'actor')
                || jsonb_build_object('data', event_unsigned(line -> 'data'))
                || jsonb_build_object('extensions', coalesce(line -> 'extensions', '{}') || '{"erased": "actor"}');
        END IF;
        IF line ->> 'type' = 'heliograph.read' AND moment < latest THEN
            line := line || jsonb_build_object('data', event_unasked(line -> 'data', 'late'));
        END IF;
        IF line -> 'data' ? 'model' THEN
            names := event_keys(line -> 'data');
            erased := ARRAY(
                SELECT name FROM unnest(names || event_where_keys(line -> 'data')) AS named (name)
                WHERE event_is_erased(project, secret, 'object', (line -> 'data' ->> 'model') || '/' || name, moment)
            );
            IF erased <> '{}' THEN
                CONTINUE WHEN object IS NULL AND names <> '{}' AND names <@ erased;
                line := jsonb_set(line, '{data}', event_unnamed(line -> 'data', erased));
            END IF;
        END IF;
        kept := array_append(kept, line);
    END LOOP;
    RETURN to_jsonb(kept);
END
$$
"""


def function(name, arguments, source):
    return migrations.RunSQL(source, f"DROP FUNCTION {name}({arguments})")


class Migration(migrations.Migration):
    dependencies = [("events", "0007_removal")]

    operations = [
        migrations.CreateModel(
            name="Erasure",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "project_id", "id", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("project_id", models.IntegerField()),
                ("id", models.UUIDField()),
                ("kind", models.TextField(choices=[("object", "Object"), ("actor", "Actor")])),
                ("subject", models.TextField(help_text="Which one it is, until it is erased.", null=True)),
                ("digest", models.BinaryField(max_length=32)),
                ("asked_at", models.DateTimeField()),
                ("asked_by", models.TextField()),
                ("fence", service.events.models.TransactionId(null=True)),
                (
                    "looked_to",
                    models.UUIDField(
                        help_text="The last record of a read that was looked at; null until its own are treated.",
                        null=True,
                    ),
                ),
                ("removed", models.BigIntegerField(default=0)),
                ("redacted", models.BigIntegerField(default=0)),
                ("done_at", models.DateTimeField(null=True)),
            ],
            options={
                "db_table": "event_erasure",
                "indexes": [models.Index("project_id", "digest", "asked_at", name="event_erasure_digest")],
            },
        ),
        migrations.CreateModel(
            name="ErasureKey",
            fields=[
                ("project_id", models.IntegerField(primary_key=True, serialize=False)),
                ("key", models.BinaryField(max_length=32)),
                ("asked_at", models.DateTimeField(help_text="Of the latest erasure.")),
            ],
            options={"db_table": "event_erasure_key"},
        ),
        function("event_key", "jsonb", KEY),
        function("event_keys", "jsonb", KEYS),
        function("event_where_keys", "jsonb", CONDITIONS),
        function("event_unnamed", "jsonb, text[]", UNNAMED),
        function("event_subject_digest", "bytea, text, text", DIGEST),
        function("event_unsigned", "jsonb", UNSIGNED),
        function("event_unasked", "jsonb, text", UNASKED),
        function("event_is_erased", "integer, bytea, text, text, timestamptz", IS_ERASED),
        function("event_without_erased", "integer, jsonb", WITHOUT_ERASED),
        migrations.RunSQL(STORE_EVENTS, DELTAS.STORE_EVENTS),
        migrations.AddIndex(
            "event",
            models.Index(
                models.F("project_id"),
                KeyTransform("subject", "extensions"),
                models.F("id"),
                name="event_subject",
                condition=models.Q(extensions__has_key="subject"),
            ),
        ),
    ]

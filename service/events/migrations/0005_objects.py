"""What finds an object's history, and a chain: indexes on the objects that an event names without being about one.

Bulk calls and changes of relations name objects by a model and its keys. The functions turn these into numbers: keys of
any length fit into an index then, and what it finds is looked at again. A call on many rows that doesn't name them all
is found by the number of its model alone. Their cost keeps Postgres from calling them for rows that an index finds, and
none is safe in parallel workers, whose start takes longer than a whole page of history.
"""

import django.contrib.postgres.fields
import django.contrib.postgres.indexes
from django.db import migrations, models
from django.db.models import F, Func, Q

# The keys, as the subject of an event has them; none for what isn't a list.
NAMED_OBJECTS = """
CREATE FUNCTION event_named_objects(project integer, data jsonb) RETURNS bigint[]
LANGUAGE sql IMMUTABLE COST 10000
RETURN ARRAY(
    SELECT DISTINCT hashtextextended((data ->> 'model') || '/' || key, project)
    FROM jsonb_array_elements(
        CASE jsonb_typeof(data -> 'pks') WHEN 'array' THEN data -> 'pks' ELSE '[]' END
    ) AS pks (pk), LATERAL (
        SELECT CASE jsonb_typeof(pk)
            WHEN 'array' THEN (
                SELECT string_agg(part, ',' ORDER BY place)
                FROM jsonb_array_elements_text(pk) WITH ORDINALITY AS parts (part, place)
            )
            ELSE pk #>> '{}'
        END AS key
    ) AS keys
    WHERE key IS NOT NULL
)
"""

# Whether it wrote rows that it doesn't name: fewer keys than rows, or rows that it met by another key than theirs. What
# `delete` and `update_or_create` did is told by the signals of each row.
HAS_UNNAMED = """
CREATE FUNCTION event_has_unnamed(data jsonb) RETURNS boolean LANGUAGE sql IMMUTABLE COST 1000
RETURN CASE
    WHEN jsonb_typeof(data -> 'count') IS DISTINCT FROM 'number' THEN false
    WHEN data ->> 'operation' = 'bulk_create' THEN data ? 'update_conflicts'
    WHEN data ->> 'operation' IN ('update', 'bulk_update', 'raw_delete') THEN (data ->> 'count')::numeric > CASE
        jsonb_typeof(data -> 'pks') WHEN 'array' THEN jsonb_array_length(data -> 'pks') ELSE 0
    END
    ELSE false
END
"""

NAMED_MANY = """
CREATE FUNCTION event_named_many(project integer, data jsonb) RETURNS bigint[]
LANGUAGE sql IMMUTABLE COST 10000
RETURN CASE
    WHEN data -> 'pks' -> 1 IS NOT NULL OR event_has_unnamed(data) THEN event_named_objects(project, data)
END
"""

NAMED_ONE = """
CREATE FUNCTION event_named_one(project integer, data jsonb) RETURNS bigint
LANGUAGE sql IMMUTABLE COST 10000
RETURN CASE
    WHEN event_has_unnamed(data) THEN hashtextextended((data ->> 'model') || '/', project)
    WHEN data -> 'pks' -> 1 IS NULL THEN (event_named_objects(project, data))[1]
END
"""


def function(name, arguments, source):
    return migrations.RunSQL(source, f"DROP FUNCTION {name}({arguments})")


class Migration(migrations.Migration):
    dependencies = [("events", "0004_asking")]

    operations = [
        function("event_named_objects", "integer, jsonb", NAMED_OBJECTS),
        function("event_has_unnamed", "jsonb", HAS_UNNAMED),
        function("event_named_many", "integer, jsonb", NAMED_MANY),
        function("event_named_one", "integer, jsonb", NAMED_ONE),
        migrations.AddIndex(
            "event",
            models.Index(
                F("project_id"),
                Func("project_id", "data", function="event_named_one", output_field=models.BigIntegerField()),
                F("id"),
                name="event_named_one",
                condition=Q(data__model__isnull=False),
            ),
        ),
        migrations.AddIndex(
            "event",
            django.contrib.postgres.indexes.GinIndex(
                Func(
                    "project_id",
                    "data",
                    function="event_named_many",
                    output_field=django.contrib.postgres.fields.ArrayField(models.BigIntegerField()),
                ),
                name="event_named_many",
                fastupdate=False,
                condition=Q(data__model__isnull=False),
            ),
        ),
        migrations.AddIndex(
            "event",
            models.Index(
                "project_id",
                "causation_id",
                "id",
                name="event_causation",
                condition=Q(causation_id__isnull=False),
            ),
        ),
    ]

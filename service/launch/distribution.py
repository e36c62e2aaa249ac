"""Spread the tables of events over the machines of a Citus cluster. See docs/how-to/scale-out.md.

What is asked of a project is asked of one machine then, since all its rows are on one. The statements of the service
stay as they are; a test holds them to what Citus wants of them.
"""

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.db import connection, models
from psycopg import sql

from service.launch.errors import LaunchError

COLUMN = "project_id"
FIRST = "event"  # the others are put beside it
# The order of arrivals is that of one server's transactions.
LOCAL = frozenset({"event_arrival"})

EXTENSION = "SELECT installed_version FROM pg_available_extensions WHERE name = 'citus'"
IS_COORDINATOR = "SELECT groupid = 0 FROM pg_dist_local_group"
MACHINES = "SELECT count(*) FROM pg_dist_node WHERE isactive AND shouldhaveshards AND noderole = 'primary'"
DISTRIBUTED = "SELECT logicalrelid::regclass::text FROM pg_dist_partition WHERE partmethod = 'h'"
# Of distributed tables, what is left of the time before.
HOLD_LOCAL_ROWS = """
    SELECT root::text
    FROM unnest(%s::regclass[]) AS root
    WHERE EXISTS (SELECT FROM pg_partition_tree(root) AS part WHERE pg_relation_size(part.relid) > 0)
"""
# What indexes call, those first that the others call.
FUNCTIONS = """
    SELECT oid::regprocedure::text
    FROM pg_proc
    WHERE pronamespace = current_schema()::regnamespace AND proname LIKE 'event\\_%' AND provolatile = 'i'
    ORDER BY pg_proc.oid
"""


def tables() -> list[str]:
    """Return the tables that are distributed: those whose keys begin with the project's id. `FIRST` comes first."""
    found = {model._meta.db_table for model in apps.get_models() if model._meta.managed and is_of_projects(model)}
    return [FIRST, *sorted(found - LOCAL - {FIRST})]


def is_of_projects(model: type[models.Model]) -> bool:
    return next((each.name for each in model._meta.pk_fields), None) == COLUMN


def check() -> None:
    """Raise LaunchError, which says what to do, unless this is the coordinator of a cluster that has machines."""
    match ask(EXTENSION):
        case []:
            raise LaunchError(
                "Citus isn't installed on this server. Install its package on each machine, put citus first in "
                "shared_preload_libraries, restart Postgres, and say CREATE EXTENSION citus in this database."
            )
        case [None]:
            raise LaunchError(
                "Citus is installed, but not in this database: say CREATE EXTENSION citus in it, on each machine."
            )
    if ask(IS_COORDINATOR) != [True]:
        raise LaunchError("This server is a worker of the cluster: set DATABASE_URL to its coordinator.")
    if ask(MACHINES) == [0]:
        raise LaunchError(
            "No machine of the cluster may keep rows. On the coordinator: "
            "SELECT citus_set_coordinator_host('its name'), for each worker SELECT citus_add_node('its name', 5432)"
        )


def is_there() -> bool:
    return ask(EXTENSION) not in ([], [None])


def statements(shards: int, *, distributed: frozenset[str]) -> Iterator[str]:
    """Yield what is to be run, given what is ``distributed`` already; nothing once all of it was run."""
    waiting = [table for table in tables() if table not in distributed]
    if waiting:
        for function in ask(FUNCTIONS):
            yield rendered("SELECT create_distributed_function({})", function)
    for table in waiting:
        if table == FIRST:
            call = "SELECT create_distributed_table({}, {}, colocate_with => 'none', shard_count => {})"
            yield rendered(call, table, COLUMN, shards)
        else:
            yield rendered("SELECT create_distributed_table({}, {}, colocate_with => {})", table, COLUMN, FIRST)
    for left in ask(HOLD_LOCAL_ROWS, [tables()]):
        yield rendered("SELECT truncate_local_data_after_distributing_table({})", left)


def distributed() -> frozenset[str]:
    return frozenset(map(str, ask(DISTRIBUTED)))


def run(statement: str) -> None:
    """Run one of `statements`, in a transaction of its own; what was run before it stays."""
    with connection.cursor() as cursor:
        cursor.execute(statement)


def rendered(template: str, *values: object) -> str:
    return sql.SQL(template).format(*map(sql.Literal, values)).as_string()


def ask(query: str, parameters: list[Any] | None = None) -> list[object]:
    """Return the first column of the answer."""
    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        return [value for (value, *_) in cursor.fetchall()]

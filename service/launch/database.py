"""Bring the database up to date before anything uses it."""

import io
from collections.abc import Callable

from django.core.management import call_command
from django.db import OperationalError, connection
from django.db.migrations.executor import MigrationExecutor

from service.launch.errors import LaunchError

LOCK = "SELECT pg_advisory_lock(hashtext('heliograph.migrate'))"
UNLOCK = "SELECT pg_advisory_unlock(hashtext('heliograph.migrate'))"


def prepare(tell: Callable[[str], object]) -> None:
    """Apply what migrations are missing and make the coming partitions; ``tell`` only if there is any migration.

    Takes a lock, so that services that start at once on one database don't migrate it twice. Raises LaunchError
    if the database can't be reached.
    """
    try:
        with connection.cursor() as cursor:
            cursor.execute(LOCK)
            _migrate(tell)
            call_command("ensure_partitions", stdout=io.StringIO())
            cursor.execute(UNLOCK)
    except OperationalError as error:
        raise LaunchError(f"The database can't be used: {error}") from error
    finally:
        connection.close()


def _migrate(tell: Callable[[str], object]) -> None:
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if plan:
        tell(f"Applying {len(plan)} migrations.")
        call_command("migrate", interactive=False, verbosity=0)

"""``/readyz``: it could store an event now and for the coming week, and drops what expired.

The front answers ``/healthz`` itself.
"""

from django.db import Error, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from service.events import partitions


@csrf_exempt
@require_safe
def ready(request: HttpRequest) -> JsonResponse:
    """Answer 200 when database, migrations and partitions are in order, else 503; each check by name."""
    checks = check_all()
    good = all(state == "ok" for state in checks.values())
    return JsonResponse({"status": "ok" if good else "unavailable", "checks": checks}, status=200 if good else 503)


def check_all() -> dict[str, str]:
    checks = dict.fromkeys(["database", "migrations", "partitions", "retention"], "unknown")
    try:
        connection.ensure_connection()
        checks["database"] = "ok"
        checks["migrations"] = "ok" if migrated() else "pending: run manage.py migrate"
        if checks["migrations"] == "ok":
            now = timezone.now()
            has_room, has_old = partitions.ready(now), partitions.overdue(now)
            checks["partitions"] = "ok" if has_room else "missing: run manage.py ensure_partitions and the worker"
            checks["retention"] = "overdue: run the worker" if has_old else "ok"
    except Error:  # InterfaceError, of a connection that was cut, is no DatabaseError
        checks["database"] = "unreachable"
    return checks


def migrated() -> bool:
    executor = MigrationExecutor(connection)
    return not executor.migration_plan(executor.loader.graph.leaf_nodes())

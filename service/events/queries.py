"""Read events. Every read starts from one project, so that none can cross into another."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import OperationalError, connection
from django.db.models import QuerySet
from psycopg.errors import QueryCanceled

from service.api.problems import Problem
from service.events import grammar, ranges
from service.events.conditions import Criteria
from service.events.models import Event
from service.events.unions import Union


class QueryTimeout(Problem):
    """A question that would take longer than the setting QUERY_TIMEOUT: only its asker can make it smaller."""

    title = "The question takes too long to answer"

    def __init__(self, advice: str) -> None:
        super().__init__("query_timeout", f"No answer was found within {settings.QUERY_TIMEOUT} s. {advice}")


NARROW = (
    f"Narrow the range with time__gte and time__lt, or add a filter that has an index: {', '.join(grammar.indexed())}."
)


@contextmanager
def bounded(advice: str = NARROW) -> Iterator[None]:
    """End each statement within after QUERY_TIMEOUT seconds; raise `QueryTimeout` then, with the outermost's advice.

    The limit travels with the statement, as one message and one transaction, so that it costs no round trip and
    leaves nothing behind. Within a transaction of the caller it lasts to the end of that.
    """
    limit = f"SET LOCAL statement_timeout = {int(settings.QUERY_TIMEOUT * 1000)}; "

    def execute_limited(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        result = execute(limit + sql, params, many, context)
        context["cursor"].nextset()
        return result

    try:
        with connection.execute_wrapper(execute_limited):
            yield
    except OperationalError as error:
        if isinstance(error.__cause__, QueryCanceled):
            raise QueryTimeout(advice) from error
        raise
    except QueryTimeout as error:
        raise QueryTimeout(advice) from error


def of_project(project_id: int) -> QuerySet[Event]:
    return Event.objects.filter(project_id=project_id)


def matching(project_id: int, criteria: Criteria) -> Union:
    """Return the events of which all ``criteria`` hold."""
    return Union(of_project(project_id).filter(criteria.q()), *ranges.within(criteria.since, criteria.until))


def by_id(project_id: int, event_id: UUID) -> Event | None:
    """Return one event, by one look-up in the primary key; None when this project has none of that id."""
    with bounded("Ask again."):
        return of_project(project_id).filter(id=event_id).first()


def newest_id(project_id: int) -> UUID:
    """Return the greatest id of the project, by one look-up in the primary key; the least of all when it has none."""
    with bounded():
        newest = of_project(project_id).order_by("-id").values_list("id", flat=True).first()
    return newest or UUID(int=0)

"""The real emitter in a real shop → a live service → rows → the API: all that happened, nothing that did not."""

import socketserver
import sqlite3
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection

from tests import live
from tests.contract import shop, tenants
from tests.contract.tenants import Tenant

# The database is made for the tests that say so; the day itself is lived outside of their transactions.
pytestmark = pytest.mark.django_db

SIGNALS = {
    "django.db.models.signals.pre_save",
    "django.db.models.signals.post_save",
    "django.db.models.signals.pre_delete",
    "django.db.models.signals.post_delete",
    "django.db.models.signals.m2m_changed",
    "django.core.signals.request_started",
    "django.core.signals.request_finished",
    "django.core.signals.got_request_exception",
    "django.contrib.auth.signals.user_logged_in",
    "django.contrib.auth.signals.user_logged_out",
    "django.contrib.auth.signals.user_login_failed",
    "shop.signals.order_paid",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A day in the shop, and what the service has of it: ``events`` by the API, ``rows`` as text of the table."""

    day: shop.Day
    events: list[dict[str, Any]]
    rows: list[str]
    users: list[tuple[str, str]]  # name and hash
    secrets: list[str]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"].endswith(f".{kind}")]

    def by_request(self) -> dict[str, list[dict[str, Any]]]:
        """Return the events by correlation id, in the order in which they happened."""
        found = defaultdict(list)
        for event in sorted(self.events, key=lambda event: int(event["sequence"])):
            found[event["correlationid"]].append(event)
        return found


@pytest.fixture(scope="module")
def recorded(live_service: str, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """Live one day for all tests of this module; nothing of it stays in the database."""
    with django_db_blocker.unblock():
        tenant = tenants.make(live_service)
        try:
            return record(tenant, tmp_path_factory.mktemp("shop"))
        finally:
            call_command("flush", verbosity=0, interactive=False, inhibit_post_migrate=True)


def record(tenant: Tenant, folder: Path) -> Recorded:
    day = shop.live_a_day(folder, tenant.url, tenant.write_key)
    with connection.cursor() as cursor:
        cursor.execute("SELECT event::text FROM event WHERE project_id = %s", [tenant.id])
        rows = [row for (row,) in cursor.fetchall()]
    with closing(sqlite3.connect(shop.database(folder))) as database:
        users = database.execute("SELECT username, password FROM auth_user").fetchall()
        sessions = database.execute("SELECT session_key, session_data FROM django_session").fetchall()
    return Recorded(
        day=day,
        events=tenant.events(),
        rows=rows,
        users=users,
        secrets=[tenant.write_key, *shop.PASSWORDS, *(digest for _, digest in users), *sum(sessions, ())],
    )


def test_all_that_was_captured_is_stored_once(recorded: Recorded) -> None:
    assert recorded.day.captured > 300
    assert len(recorded.rows) == len(recorded.events) == recorded.day.captured
    assert recorded.day.warnings == []


def test_every_signal_is_there(recorded: Recorded) -> None:
    assert {event["type"] for event in recorded.events} == SIGNALS


def test_the_numbers_of_the_emitter_have_no_gap_and_no_double(recorded: Recorded) -> None:
    numbers = sorted(int(event["sequence"]) for event in recorded.events)

    assert numbers == list(range(1, recorded.day.captured + 1))
    assert len({event["emitterid"] for event in recorded.events}) == 1


def test_the_newest_event_comes_first(recorded: Recorded) -> None:
    moments = [event["time"] for event in recorded.events]

    assert moments == sorted(moments, reverse=True)
    assert all(event["source"] == "/shop/web" for event in recorded.events)


def test_what_was_rolled_back_is_told_as_that_and_nowhere_as_a_fact(recorded: Recorded) -> None:
    (stocktaking,) = [event for event in recorded.of("request_finished") if event["data"]["route"] == "/stocktaking"]

    assert stocktaking["data"]["status"] == 409
    inside = recorded.by_request()[stocktaking["correlationid"]][1:-1]
    assert len(inside) == 24  # twelve orders, each about to be saved and saved
    assert {event["outcome"] for event in inside} == {"rolledback"}
    assert [event for event in recorded.events if "counted" in str(event) and event not in inside] == []


def test_the_events_of_one_request_share_a_correlation_id(recorded: Recorded) -> None:
    requests = recorded.by_request().values()

    assert len(requests) == len(recorded.day.answers)
    assert all(events[0]["type"] == "django.core.signals.request_started" for events in requests)
    assert all(events[-1]["type"] == "django.core.signals.request_finished" for events in requests)
    assert all(len({event["data"]["path"] for event in events if "path" in event["data"]}) <= 1 for events in requests)


def test_a_payment_is_told_as_one_transaction_of_one_request(recorded: Recorded) -> None:
    paid = recorded.of("order_paid")[0]

    started, about_to, saved, _, finished = events = recorded.by_request()[paid["correlationid"]]

    assert [event["type"].rpartition(".")[2] for event in events] == [
        "request_started",
        "pre_save",
        "post_save",
        "order_paid",
        "request_finished",
    ]
    assert [event.get("outcome") for event in events] == [None, "committed", "committed", "committed", None]
    assert about_to["subject"] == saved["subject"] == paid["data"]["order"]
    assert (saved["action"], saved["data"]["changes"]) == ("updated", {"status": ["new", "paid"]})
    key = saved["subject"].removeprefix("shop.Order/")
    assert "path" not in started["data"]
    assert finished["data"]["path"] == f"/orders/{key}/pay"


def test_an_order_is_told_with_who_placed_it(recorded: Recorded) -> None:
    placed = [event for event in recorded.of("post_save") if event["sender"] == "shop.Order"]
    created = [event for event in placed if event["action"] == "created"]

    assert len(created) == 15
    assert all(event["actor"] == f"auth.User/{event['data']['fields']['customer_id']}" for event in created)


def test_the_requests_are_told_as_they_were_answered(recorded: Recorded) -> None:
    told = Counter(
        (f"{event['data']['method']} {event['data'].get('path', '/nowhere')}", str(event["data"]["status"]))
        for event in recorded.of("request_finished")
    )

    assert told == Counter((request, status) for request, status, _ in recorded.day.answers)


def test_an_exception_is_told_by_its_type(recorded: Recorded) -> None:
    (event,) = recorded.of("got_request_exception")

    assert event["data"]["exception"] == "builtins.LookupError"
    assert event["data"]["path"] == "/broken"


def test_a_deletion_is_told_with_what_was_lost(recorded: Recorded) -> None:
    deleted = [event for event in recorded.of("post_delete") if event["sender"] == "shop.Order"]

    assert len(deleted) == 3
    assert {event["action"] for event in deleted} == {"deleted"}
    assert all(event["data"]["fields"]["article"].startswith("A better lamp") for event in deleted)


def test_no_secret_is_stored(recorded: Recorded) -> None:
    text = "\n".join(recorded.rows)

    assert all(name in text for name, _ in recorded.users), "names are no secrets, and are found by this search"
    assert len(recorded.secrets) > 10
    assert [secret for secret in recorded.secrets if secret in text] == []
    assert "sessionid" not in text
    made = [event for event in recorded.of("post_save") if event["sender"] == "auth.User"]
    assert {event["data"]["fields"]["password"] for event in made if event["action"] == "created"} == {"[masked]"}


@pytest.fixture
def silent() -> Iterator[str]:
    """Return the address of a server that takes connections and never answers."""
    over = threading.Event()

    class Silence(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            over.wait()

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Silence) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        over.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def closed() -> str:
    """Return an address where nothing listens."""
    return f"http://127.0.0.1:{live.free_port()}"


@pytest.mark.parametrize("service", ["closed", "silent"])
def test_without_the_service_the_shop_answers_as_ever(
    service: str, recorded: Recorded, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    address: str = request.getfixturevalue(service)

    day = shop.live_a_day(tmp_path, address, "hg_" + "x" * 40, patience=1)

    assert day.answers == recorded.day.answers
    assert day.captured == recorded.day.captured
    assert "Traceback" not in day.log
    assert len(day.warnings) <= 3
    assert day.warnings[-1] == f"heliograph WARNING Closed before all was sent: {day.captured} events may be lost."

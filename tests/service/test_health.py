"""``/healthz`` and ``/readyz``. Without a database: test_outage.py."""

from datetime import timedelta
from typing import Any

import urllib3
from django.db import connection
from django.test import Client
from django.utils import timezone

from service.events import partitions

GOOD = {"database": "ok", "migrations": "ok", "partitions": "ok", "retention": "ok"}


def run(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def test_healthz_asks_neither_for_a_host_nor_for_a_database(live_service: str) -> None:
    answer = urllib3.request("GET", f"{live_service}/healthz", headers={"Host": "elsewhere.example"})

    assert (answer.status, answer.json()) == (200, {"status": "ok"})


def test_readyz_answers_200_when_all_is_in_order(db: None, client: Client) -> None:
    answer = client.get("/readyz")

    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "checks": GOOD})


def test_readyz_answers_503_when_a_partition_is_missing(db: None, client: Client) -> None:
    run(f"ALTER TABLE event DETACH PARTITION event_{timezone.now():%Y_%m}")

    answer = client.get("/readyz")

    assert answer.status_code == 503
    assert answer.json()["checks"]["database"] == "ok"
    assert answer.json()["checks"]["partitions"].startswith("missing")


def test_readyz_is_content_with_the_coming_week(db: None, client: Client) -> None:
    later = timezone.now() + timedelta(days=40)
    (month,) = partitions.months(later, later)
    run(f"ALTER TABLE event DETACH PARTITION {month.table}")

    assert client.get("/readyz").status_code == 200


def test_readyz_answers_503_when_a_migration_is_missing(db: None, client: Client) -> None:
    run("DELETE FROM django_migrations WHERE app = 'events'")

    answer = client.get("/readyz")

    assert answer.status_code == 503
    assert answer.json()["checks"]["migrations"].startswith("pending")
    assert answer.json()["checks"]["partitions"] == "unknown"


def test_readyz_answers_503_on_an_empty_database(db: None, client: Client) -> None:
    run("DROP TABLE event; DROP TABLE django_migrations")

    assert client.get("/readyz").status_code == 503


def test_a_probe_can_ask_by_head_and_change_nothing(db: None, client: Client) -> None:
    assert [client.head("/readyz").status_code, client.post("/readyz").status_code] == [200, 405]


def test_the_answer_needs_no_key_and_tells_no_secrets(db: None, client: Client, settings: Any) -> None:
    assert str(settings.DATABASES["default"]["NAME"]).encode() not in client.get("/readyz").content

"""What ``manage.py heliograph_check`` says of what waits, and where."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, connections
from django.db.models.functions import Now

from emitter import check_waiting
from emitter.models import DeadLetter, Waiting
from emitter.parking import ParkedFile, parked
from tests.outbox.test_transactions import create

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")


def said(lines: Any) -> dict[str, tuple[str, str]]:
    found = list(lines)
    assert all(line.todo for line in found if line.status != "ok")
    return {line.name: (line.status, line.detail) for line in found}


def test_rows_that_wait_are_told(using: str) -> None:
    create(using, "one")

    lines = said(check_waiting.rows(using))

    assert lines["outbox"] == ("ok", f"{using!r}: 1 events wait, the oldest for 0:00:00")
    assert lines["dead"][0] == "ok"


def test_rows_that_wait_for_long_are_warned_of(using: str) -> None:
    create(using, "one")
    Waiting.objects.using(using).update(created_at=Now() - timedelta(hours=2))

    status, detail = said(check_waiting.rows(using))["outbox"]

    assert status == "warning"
    assert "the oldest for 2:00:0" in detail


def test_how_often_a_row_was_tried_is_told(using: str) -> None:
    create(using, "one")
    Waiting.objects.using(using).update(attempts=12)

    assert said(check_waiting.rows(using))["outbox"][1].endswith("tried 12 times at the most")


def test_dead_letters_are_warned_of(using: str) -> None:
    DeadLetter.objects.using(using).create(event="{}", created_at=Now(), code="too_old", detail="")

    assert said(check_waiting.rows(using))["dead"] == ("warning", f"{using!r}: 1 events were refused")


def test_a_missing_table_is_a_failure(using: str) -> None:
    with connections[using].schema_editor() as editor:
        editor.delete_model(Waiting)
    try:
        (line,) = check_waiting.rows(using)
    finally:
        with connections[using].schema_editor() as editor:
            editor.create_model(Waiting)

    assert (line.status, line.todo) == ("FAILED", f"Run manage.py migrate heliograph --database={using}")


def test_a_database_that_is_away_is_a_failure(using: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: str) -> None:
        raise OperationalError("gone\naway")

    monkeypatch.setattr("emitter.leases.summary", fail)

    assert said(check_waiting.rows(using))["outbox"] == ("FAILED", f"{using!r}: gone away")


def test_the_spool_is_told_with_what_was_refused(tmp_path: Path) -> None:
    assert said(check_waiting.spool(tmp_path))["parked"] == ("ok", "no event was refused")
    ParkedFile(tmp_path).add([parked(b'{"id": 1}', "too_old")])

    lines = said(check_waiting.spool(tmp_path))

    assert lines["spool"] == ("ok", f"{tmp_path} can be used by this user, and 0 events wait there, 0 bytes")
    assert lines["parked"] == ("warning", "1 events were refused (too_old)")


def test_a_spool_that_cannot_be_used_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    for directory in (tmp_path / "file", tmp_path / "file" / "spool"):
        assert said(check_waiting.spool(directory))["spool"][0] == "FAILED"


def test_a_spool_that_is_not_there_yet_is_not_made(tmp_path: Path) -> None:
    """It would belong to whoever ran this, and not to the project's user."""
    assert said(check_waiting.spool(tmp_path / "a" / "b"))["spool"][0] == "ok"
    assert list(tmp_path.iterdir()) == []

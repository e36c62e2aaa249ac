"""``manage.py export_events``: all of a project in a file, or no file."""

import io
import os
from pathlib import Path
from urllib.parse import urlencode

import pytest
from backports import zstd
from django.core.management import CommandError, call_command

from service.events import export, queries
from service.events.conditions import Criteria
from service.projects.models import Project
from tests.service.cast import Api, event


def write(*arguments: object) -> str:
    said = io.StringIO()
    call_command("export_events", *map(str, arguments), stdout=said)
    return said.getvalue()


@pytest.fixture
def sent(api: Api, neighbours_api: Api) -> None:
    """Send more than a page of events, and one of the neighbour."""
    for first in range(0, 2_100, 700):
        numbers = range(first, first + 700)
        api.send([event(data={"number": number}, type="odd" if number % 2 else "even") for number in numbers])
    neighbours_api.send([event(type="neighbours")])


def exported(api: Api, **filters: str) -> bytes:
    answer = api.get(f"/api/v1/events/export/?{urlencode({'ordering': 'id', **filters})}")
    return b"".join(answer.streaming_content)


@pytest.mark.parametrize("name", ["events.ndjson", "events.ndjson.zst"])
@pytest.mark.usefixtures("sent")
def test_an_archive_is_what_an_export_gives(name: str, api: Api, project: Project, tmp_path: Path) -> None:
    said = write(project.name, tmp_path / name)

    written = (tmp_path / name).read_bytes()
    assert (zstd.decompress(written) if name.endswith("zst") else written) == exported(api)
    assert said == f"2,100 events of shop are in {tmp_path / name}.\n"
    assert [each.name for each in tmp_path.iterdir()] == [name]


def test_an_archive_of_nothing_is_one(project: Project, tmp_path: Path) -> None:
    assert write(project.name, tmp_path / "events.zst").startswith("0 events")

    assert zstd.decompress((tmp_path / "events.zst").read_bytes()) == b""


@pytest.mark.usefixtures("sent")
def test_filters_are_those_of_a_list(api: Api, project: Project, tmp_path: Path) -> None:
    write(project.name, tmp_path / "odd", "--filter", "type=odd", "--filter", "source=/shop/web")

    assert (tmp_path / "odd").read_bytes().count(b"\n") == 1_050
    assert (tmp_path / "odd").read_bytes() == exported(api, type="odd")


@pytest.mark.usefixtures("sent")
def test_a_compressed_archive_that_is_cut_anywhere_is_none(project: Project, tmp_path: Path) -> None:
    write(project.name, tmp_path / "events.zst")
    whole = (tmp_path / "events.zst").read_bytes()

    for length in (*range(1, len(whole), 997), len(whole) - 1):
        with pytest.raises((EOFError, zstd.ZstdError)), zstd.open(io.BytesIO(whole[:length])) as file:
            file.read()


@pytest.mark.usefixtures("sent")
def test_what_fails_on_the_way_leaves_no_file(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = iter([export.page(queries.matching(project.pk, Criteria()), "gt")])
    monkeypatch.setattr(export, "page", lambda *_: next(pages))

    with pytest.raises(RuntimeError):
        write(project.name, tmp_path / "events")

    assert [each.name for each in tmp_path.iterdir()] == []


def test_what_a_killed_export_left_behind_is_in_nobodys_way(project: Project, tmp_path: Path) -> None:
    """In a container, each has the same number of a process."""
    left = tmp_path / f".events.ndjson.{os.getpid()}.part"
    left.touch()

    write(project.name, tmp_path / "events.ndjson")

    assert {each.name for each in tmp_path.iterdir()} == {"events.ndjson", left.name}


def test_a_file_that_is_there_stays(project: Project, tmp_path: Path) -> None:
    (tmp_path / "events").write_text("mine")

    with pytest.raises(CommandError, match="events can't be written: File exists"):
        write(project.name, tmp_path / "events")

    assert (tmp_path / "events").read_text() == "mine"
    assert [each.name for each in tmp_path.iterdir()] == ["events"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nobody", "events"], "There is no project 'nobody'"),
        (["shop", "nowhere/events"], "nowhere/events can't be written: No such file or directory"),
        (["shop", "events", "--filter", "tpye=a"], "tpye"),
        (["shop", "events", "--filter", "time__lt=yesterday"], "time__lt can't be used"),
    ],
)
def test_what_cannot_be_done_is_said(
    arguments: list[str], words: str, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(CommandError, match=words):
        write(*arguments)

    assert [each.name for each in tmp_path.iterdir()] == []

"""``/metrics``: what all processes of a server did, for whoever has a key with the scope ``admin``."""

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
import urllib3
from prometheus_client.parser import text_string_to_metric_families

from service.front import metric_files
from service.projects import operations
from service.projects.models import Project, Scope
from tests import live
from tests.service.cast import EVENTS, Api, event, problem
from tests.service.front.conftest import Start
from tests.service.front.locks import locked

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture
def admin(project: Project) -> str:
    return operations.create_key(project, [Scope.ADMIN])


class Caller:
    def __init__(self, url: str) -> None:
        self.url = url
        self.http = urllib3.PoolManager(retries=False, timeout=60)

    def __call__(self, method: str, path: str, key: str = "", body: Any = None) -> Any:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return self.http.request(method, self.url + path, json=body, headers=headers)

    def samples(self, key: str) -> Samples:
        text = self("GET", "/metrics", key).data.decode()
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples.get((name, frozenset(labels.items())), 0)


def test_the_scope_admin_opens_them_and_no_other(api: Api, stranger: Api, admin: str) -> None:
    problem(stranger.get("/metrics"), 401, "key_missing")
    problem(api.get("/metrics"), 403, "scope_missing")
    answer = Api(key=admin).get("/metrics", Accept="application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
    assert (answer.status_code, answer.headers["Content-Type"].split(";")[0]) == (200, "text/plain")


def test_they_tell_of_all_processes_together(start: Start, key: str, admin: str) -> None:
    service = start(workers=2)
    for number in range(20):
        call = Caller(service.url)  # a connection of its own, to whichever process takes it
        sent = event()
        assert call("POST", EVENTS, key, [sent, sent, {}]).status == 207
        assert call("GET", f"/nowhere/{number}", key).status == 404
        assert call("POST", EVENTS, "hg_no", [event()]).status == 401

    samples = Caller(service.url).samples(admin)

    route = {"method": "POST", "route": "api/v1/events/"}
    assert value(samples, "heliograph_requests_total", **route, status="207") == 20
    assert value(samples, "heliograph_requests_total", **route, status="401") == 20
    assert value(samples, "heliograph_requests_total", method="GET", route="", status="404") == 20
    assert value(samples, "heliograph_request_seconds_count", **route) == 40
    assert value(samples, "heliograph_request_seconds_bucket", **route, le="+Inf") == 40
    assert value(samples, "heliograph_events_total", outcome="accepted") == 20
    assert value(samples, "heliograph_events_total", outcome="duplicate") == 20
    assert value(samples, "heliograph_events_total", outcome="rejected") == 20
    assert value(samples, "heliograph_body_bytes_total") > 40 * 100
    assert value(samples, "heliograph_requests_in_flight") == 1  # the one that asks


def test_refusals_of_the_front_are_counted(start: Start, admin: str, key: str) -> None:
    service = start(WEB_THREADS="1", WEB_WAITING="0")
    call = Caller(service.url)
    with ThreadPoolExecutor() as background, locked() as are_blocked:
        taken = background.submit(call, "POST", EVENTS, key, event())
        live.eventually(lambda: are_blocked(1))
        refused = [call("POST", EVENTS, key, event()).status for _ in range(3)]
    assert (taken.result().status, refused) == (201, [503] * 3)
    assert call("POST", EVENTS, key, "x" * 6 * 1024 * 1024).status == 413

    samples = call.samples(admin)

    assert value(samples, "heliograph_overloaded_total") == 3
    assert value(samples, "heliograph_requests_total", method="POST", route="", status="503") == 3
    assert value(samples, "heliograph_requests_total", method="POST", route="", status="413") == 1


def test_no_label_is_made_of_what_a_client_sends(start: Start, project: Project, key: str, admin: str) -> None:
    service = start()
    call = Caller(service.url)
    call("POST", EVENTS, key, [event(type="secret.type", sender="secret.Sender")])
    call("GET", f"{EVENTS}?type=secret.type", key)
    call("GET", "/secret/path", key)
    call("SECRET", EVENTS, key)

    text = call("GET", "/metrics", admin).data.decode()

    assert "secret" not in text.lower()
    assert not re.search(rf"\b{project.name}\b", text)
    assert key[:11] not in text
    assert 'method="other"' in text


def test_files_of_ended_servers_and_processes_are_cleaned_at_start(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    stale = metric_files.identity(ended.pid)
    own = tmp_path / metric_files.identity(os.getppid())
    for folder in (tmp_path / stale, tmp_path / "anything", own):
        folder.mkdir()
    names = [f"counter_{ended.pid}.db", f"gauge_livesum_{ended.pid}.db", f"gauge_livesum_{os.getpid()}.db"]
    for name in names:
        (own / name).touch()
    ended.communicate()

    before = os.environ.pop(metric_files.FOLDER, None)
    metric_files.share(tmp_path)
    shared = os.environ.pop(metric_files.FOLDER)
    if before is not None:
        os.environ[metric_files.FOLDER] = before

    assert shared == str(own)
    assert [folder.name for folder in tmp_path.iterdir()] == [own.name]
    # What an ended process counted was done; what it was about to do was not.
    assert {file.name for file in own.iterdir()} == {names[0], names[2]}


def test_files_are_kept_in_memory_where_a_full_disk_kills_nobody(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(metric_files, "MEMORY", tmp_path)

    folder = metric_files.place(Path("/srv"))

    assert folder.parent == tmp_path
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_folder_in_memory_that_is_not_ours_is_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(metric_files, "MEMORY", tmp_path)
    ours = metric_files.place(Path("/srv"))
    ours.rmdir()
    (tmp_path / "elsewhere").mkdir()
    ours.symlink_to(tmp_path / "elsewhere")

    assert metric_files.place(Path("/srv")) == Path("/srv/metrics")
    monkeypatch.setattr(metric_files, "MEMORY", tmp_path / "none")
    assert metric_files.place(Path("/srv")) == Path("/srv/metrics")


def test_a_process_keeps_its_name_when_the_clock_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    before = metric_files.identity(os.getpid())
    begun = psutil.Process().create_time()
    monkeypatch.setattr(psutil.Process, "create_time", lambda _process: begun + 3600)

    assert metric_files.identity(os.getpid()) == before
    assert metric_files.is_alive(before)


def test_a_server_that_starts_anew_starts_from_nothing(start: Start, key: str, admin: str, tmp_path: Path) -> None:
    with live.service(tmp_path / "first", VAR_DIR=str(tmp_path)) as url:
        Caller(url)("POST", EVENTS, key, event())
        assert value(Caller(url).samples(admin), "heliograph_events_total", outcome="accepted") == 1
    folder = metric_files.place(tmp_path)
    ended = {each.name for each in folder.iterdir() if not metric_files.is_alive(each.name)}

    with live.service(tmp_path / "second", VAR_DIR=str(tmp_path)) as url:
        assert value(Caller(url).samples(admin), "heliograph_events_total", outcome="accepted") == 0
        assert ended
        assert not ended & {each.name for each in folder.iterdir()}

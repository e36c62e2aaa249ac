"""``manage.py create_key PROJECT --scopes …``."""

import re
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from service.events.models import Event
from service.projects.models import Key, Project
from tests.service.cast import Api, event

BOTH = "events:write,events:read"


def test_it_prints_the_key_alone(project: Project, capfd: pytest.CaptureFixture[str]) -> None:
    call_command("create_key", "shop", "--scopes", BOTH)

    printed = capfd.readouterr()
    assert re.fullmatch(r"hg_[A-Za-z0-9]{40}\n", printed.out)
    assert printed.err == ""


def test_the_key_works_for_its_project_and_scopes(
    project: Project, neighbours_api: Api, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("create_key", "shop", "--scopes", BOTH)
    api, sent = Api(key=capsys.readouterr().out.strip()), event()

    assert api.send(sent).status_code == 201
    assert api.read(sent["id"]).status_code == 200
    assert neighbours_api.listed() == []


def test_a_key_that_is_made_here_is_recorded_and_what_it_reads_is_told_there(
    project: Project, neighbour: Project
) -> None:
    call_command("create_key", "shop", "--scopes", BOTH, "--reads", neighbour.name)

    made, granted = Event.objects.order_by("id")
    assert (made.project_id, made.type, made.actor) == (project.pk, "heliograph.key_made", None)
    assert made.data["reads"] == [neighbour.name]
    assert (granted.project_id, granted.type) == (neighbour.pk, "heliograph.reads_granted")
    assert granted.data["project"] == "shop"


@pytest.mark.parametrize(
    ("text", "scopes"),
    [
        ("events:write", ["events:write"]),
        (" events:read , events:write,", ["events:read", "events:write"]),
        ("events:read,events:read", ["events:read"]),
        ("subscriptions,admin", ["subscriptions", "admin"]),
    ],
)
def test_the_key_has_the_scopes_that_were_named(text: str, scopes: list[str], project: Project) -> None:
    call_command("create_key", "shop", "--scopes", text)

    assert Key.objects.get().scopes == scopes


@pytest.mark.parametrize("text", ["", ",", "events", "events:write events:read", "EVENTS:READ", "events:read,all"])
def test_unknown_scopes_make_no_key(text: str, project: Project) -> None:
    with pytest.raises(CommandError, match="events:write"):
        call_command("create_key", "shop", "--scopes", text)

    assert not Key.objects.exists()


def test_scopes_have_to_be_named(project: Project) -> None:
    with pytest.raises(CommandError, match="--scopes"):
        call_command("create_key", "shop")


def test_an_unknown_project_makes_no_key_and_the_known_ones_are_told(project: Project) -> None:
    with pytest.raises(CommandError, match=r"no project 'shpo'.*Known: shop.*--create"):
        call_command("create_key", "shpo", "--scopes", BOTH)

    assert not Key.objects.exists()
    assert Project.objects.count() == 1


def test_create_makes_the_project_once(db: None) -> None:
    for _ in range(2):
        call_command("create_key", "shop", "--scopes", BOTH, "--create")

    assert Project.objects.get().keys.count() == 2


@pytest.mark.parametrize("name", ["", "a b", "größe", "a/b", "x" * 101])
def test_a_name_that_cant_be_a_projects_makes_nothing(name: str, db: None) -> None:
    with pytest.raises(CommandError, match="can't be a project's name"):
        call_command("create_key", name, "--scopes", BOTH, "--create")

    assert not Project.objects.exists()


def test_a_label_and_an_expiry_are_kept(project: Project) -> None:
    call_command("create_key", "shop", "--scopes", BOTH, "--label", "web", "--expires", "30")

    key = Key.objects.get()
    assert key.label == "web"
    assert abs(key.expires_at - timezone.now() - timedelta(days=30)) < timedelta(minutes=1)


def test_a_key_never_expires_unless_told(project: Project) -> None:
    call_command("create_key", "shop", "--scopes", BOTH)

    assert Key.objects.get().expires_at is None


@pytest.mark.parametrize(
    "option", ["--expires=0", "--expires=-1", "--expires=soon", "--expires=99999", "--label=" + "x" * 101]
)
def test_unusable_options_make_no_key(option: str, project: Project) -> None:
    with pytest.raises(CommandError, match=option.partition("=")[0]):
        call_command("create_key", "shop", "--scopes", BOTH, option)

    assert not Key.objects.exists()


def test_the_key_reads_the_chains_of_the_projects_that_were_named(project: Project, neighbour: Project) -> None:
    Project.objects.create(name="third")

    call_command("create_key", "shop", "--scopes", BOTH, "--reads", "neighbour", "--reads=third")

    key = Key.objects.get()
    assert {other.name for other in key.reads.all()} == {"neighbour", "third"}
    assert key.project == project


def test_a_key_reads_no_further_project_unless_told(project: Project, neighbour: Project) -> None:
    call_command("create_key", "shop", "--scopes", BOTH)

    assert not Key.objects.get().reads.exists()


def test_an_unknown_further_project_makes_no_key_and_no_project(db: None) -> None:
    with pytest.raises(CommandError, match="no project 'other'"):
        call_command("create_key", "shop", "--scopes", BOTH, "--create", "--reads", "other")

    assert not Key.objects.exists()
    assert not Project.objects.exists()


def test_two_keys_differ(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        call_command("create_key", "shop", "--scopes", BOTH)

    assert len(set(capsys.readouterr().out.split())) == 2

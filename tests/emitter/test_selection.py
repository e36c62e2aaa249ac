"""What is captured: by default, and where the settings choose otherwise."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.apps import AppConfig
from django.core.checks import INFO
from django.core.management import call_command
from django.core.signals import setting_changed
from django.db import connection
from django.db.models import signals as db
from django.db.models.deletion import Collector
from django.test import override_settings

from emitter import checks, receivers, selection
from emitter.conf import Conf
from tests.emitter.conftest import Arrived
from tests.emitter.library import signals
from tests.emitter.library.models import Audiobook, Author, Book, Card, Genre, Novel, Seat
from tests.emitter.wiring import is_ours, unwired

pytestmark = pytest.mark.django_db(transaction=True)


@contextmanager
def chosen(**settings: Any) -> Iterator[None]:
    """Connect the receivers anew, as at a start with these settings, and put back what there was."""
    with unwired(), override_settings(**{f"HELIOGRAPH_{name}": value for name, value in settings.items()}):
        receivers.connect()
        yield


def senders(facts: Arrived) -> set[str | None]:
    return {event.sender for event in facts()}


def types(events: Callable[[], Any]) -> list[str]:
    return [event.type.rpartition(".")[2] for event in events()]


def test_by_default_the_facts_of_the_projects_own_models_are_captured(facts: Arrived) -> None:
    with chosen(SIGNALS=Conf.signals.default):
        assert selection.names() == {
            "post_save", "post_delete", "m2m_changed", "user_logged_in", "user_logged_out", "user_login_failed",
            "request_started", "request_finished", "got_request_exception",
        }  # fmt: skip
        assert {model._meta.app_label for model in selection.models()} == {"auth", "library"}
        assert not [each for each in db.pre_save.receivers if is_ours(each)]


def test_no_delete_nor_relation_is_listened_to_for_all_senders() -> None:
    for signal in (db.pre_delete, db.post_delete, db.m2m_changed, db.pre_save, db.post_save, db.pre_init, db.post_init):
        ours = [each[0] for each in signal.receivers if is_ours(each)]
        assert id(None) not in {sender for _, sender in ours}


def test_models_that_are_not_captured_keep_their_fast_delete(facts: Arrived) -> None:
    assert not Collector(using="default").can_fast_delete(Card.objects.all())
    with chosen(EXCLUDE_MODELS=["library.Card"]):
        assert Collector(using="default").can_fast_delete(Card.objects.all())
        assert not Collector(using="default").can_fast_delete(Seat.objects.all())


def test_the_check_names_the_models_that_lose_their_fast_delete() -> None:
    (told,) = checks.check_cost()

    assert told.id == "heliograph.I001"
    assert told.level == INFO
    assert "library.Card" in told.msg
    assert "library.Author" not in told.msg  # whose books have to be found anyway
    with override_settings(HELIOGRAPH_EXCLUDE_MODELS=["library.Card"]):
        assert not any("library.Card" in message.msg for message in checks.check_cost())


@pytest.mark.parametrize(
    ("settings", "senders_told"),
    [
        ({"MODELS": ["library.*"]}, {"library.Author", "library.Genre"}),
        ({"MODELS": ["library.Genre"]}, {"library.Genre"}),
        ({"MODELS": ["LIBRARY.gen*"]}, {"library.Genre"}),
        ({"MODELS": ["@own"]}, {"library.Author", "library.Genre"}),
        ({"MODELS": ["auth.User"]}, set()),
        ({"EXCLUDE_MODELS": ["library.Author"]}, {"library.Genre"}),
        ({"MODELS": ["library.Author"], "EXCLUDE_MODELS": ["*"]}, set()),
    ],
)
def test_settings_choose_models(facts: Arrived, settings: dict[str, Any], senders_told: set[str]) -> None:
    with chosen(**settings):
        Author.objects.create(name="Jane").delete()
        Genre.objects.create(name="Novel").delete()

    assert senders(facts) == senders_told


def test_settings_choose_fields(facts: Arrived) -> None:
    with chosen(EXCLUDE_FIELDS=["library.Author.name", "*.price"]):
        author = Author.objects.create(name="Jane")
        author.name = "Ada"
        author.save()
        book = Book.objects.create(title="Emma", price=1)

    assert next(event.data["fields"] for event in facts() if event.data) == {"id": author.pk}
    assert len(facts()) == 2  # a change of nothing that is told is none
    assert "price" not in str(facts())
    assert "Emma" in str(facts())
    assert book.pk


@pytest.mark.parametrize("pattern", ["library.Book.author_id", "library.Book.author", "library.Audiobook.author"])
def test_a_field_is_left_out_by_its_columns_name_and_where_it_is_inherited(facts: Arrived, pattern: str) -> None:
    with chosen(EXCLUDE_FIELDS=[pattern]):
        Audiobook.objects.create(title="Emma", author=None)

    told = next(event.data["fields"] for event in facts() if event.subject and "Audiobook" in event.subject)
    assert "author_id" not in told
    assert told["title"] == "Emma"


def test_a_relation_can_be_left_out(facts: Arrived) -> None:
    with chosen(EXCLUDE_FIELDS=["library.Book.genres"]):
        Book.objects.create(title="Emma").genres.add(Genre.objects.create(name="Novel"))

    assert types(facts) == ["post_save", "post_save"]


def test_a_relation_to_a_model_that_is_left_out_does_not_name_it(facts: Arrived) -> None:
    with chosen(EXCLUDE_MODELS=["library.Genre"]):
        book = Book.objects.create(title="Emma")
        Genre.objects.create(name="Novel").books.add(book)

    related = facts()[-1]
    assert (related.sender, related.subject) == ("library.Book", None)
    assert related.data["pks"] == [book.pk]


def test_a_proxy_is_chosen_or_left_out_by_its_own_name(facts: Arrived) -> None:
    with chosen(MODELS=["library.Novel"]):
        Book.objects.create(title="Emma")
        Novel.objects.create(title="Persuasion")
    with chosen(EXCLUDE_MODELS=["library.Novel"]):
        Book.objects.create(title="Sanditon")
        Novel.objects.create(title="Evelina")

    assert [event.data["fields"]["title"] for event in facts()] == ["Persuasion", "Sanditon"]


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["model"], ["post_save", "post_delete"]),
        (["post_delete"], ["post_delete"]),
        (["pre_save", "pre_delete"], ["pre_save", "pre_delete"]),
        (["m2m", "request", "auth"], []),
        ([], []),
    ],
)
def test_settings_choose_signals(arrived: Arrived, names: list[str], told: list[str]) -> None:
    with chosen(SIGNALS=names):
        Genre.objects.create(name="Novel").delete()

    assert types(arrived) == told


def test_making_objects_is_told_on_request_and_without_secrets(arrived: Arrived) -> None:
    Card.objects.create(pin="1234", api_token="hunter2")
    before = len(arrived())

    with chosen(SIGNALS=["pre_init", "post_init"]):
        (card,) = Card.objects.all()

    told = arrived()[before:]
    assert [event.type.rpartition(".")[2] for event in told] == ["pre_init", "post_init"]
    assert told[1].subject == f"library.Card/{card.pk}"
    assert told[0].data is not None
    assert set(told[0].data["fields"]) == {"id", "pin", "api_token", "author_name"}
    assert "hunter2" not in str(told)
    assert "1234" not in str(told)


def test_opening_a_connection_is_told_on_request(arrived: Arrived) -> None:
    with chosen(SIGNALS=["connection_created"]):
        connection.close()
        connection.ensure_connection()

    (event,) = arrived()
    assert event.type == "django.db.backends.signals.connection_created"


def test_a_changed_setting_is_told_on_request_and_a_secret_one_masked(arrived: Arrived) -> None:
    with chosen(SIGNALS=["setting_changed"]):
        setting_changed.send(None, setting="SECRET_KEY", value="hunter2", enter=True)
        setting_changed.send(None, setting="LANGUAGE_CODE", value="de", enter=True)

    told = {event.data["setting"]: event.data for event in arrived() if event.data}
    assert "hunter2" not in str(told["SECRET_KEY"])
    assert told["LANGUAGE_CODE"] == {"setting": "LANGUAGE_CODE", "value": "de", "enter": True}


def test_migrating_is_told_on_request(arrived: Arrived) -> None:
    with chosen(SIGNALS=["pre_migrate", "post_migrate"], MODELS=[]):
        call_command("migrate", verbosity=0, run_syncdb=True)

    assert {event.type for event in arrived()} == {
        "django.db.models.signals.pre_migrate", "django.db.models.signals.post_migrate",
    }  # fmt: skip


def test_a_class_made_later_is_told_on_request(arrived: Arrived) -> None:
    with chosen(SIGNALS=["class_prepared"]):
        db.class_prepared.send(Genre)

    assert [(event.type, event.sender) for event in arrived()] == [
        ("django.db.models.signals.class_prepared", "library.Genre")
    ]


def test_signals_of_an_app_are_those_it_declares(monkeypatch: pytest.MonkeyPatch) -> None:
    from django.contrib.auth.signals import user_logged_in

    monkeypatch.setattr(signals, "user_logged_in", user_logged_in, raising=False)
    monkeypatch.setattr(signals, "post_save", db.post_save, raising=False)
    own = [("tests.emitter.library.signals.book_lent", signals.book_lent)]

    for path in ("library.*", "tests.emitter.library.*", "tests.emitter.library.signals.*", own[0][0]):
        with override_settings(HELIOGRAPH_CUSTOM_SIGNALS=[path]):
            assert list(selection.custom_signals()) == own


def test_a_signal_named_twice_is_told_once(facts: Arrived) -> None:
    with chosen(CUSTOM_SIGNALS=["library.*", "tests.emitter.library.signals.book_lent"]):
        receivers.connect()
        signals.book_lent.send(None)

    assert len(facts()) == 1


@pytest.mark.parametrize("using", ["nowhere", 7, None, ["default"]])
def test_an_argument_that_names_no_database_is_an_argument_like_any(facts: Arrived, using: Any) -> None:
    signals.book_lent.send(None, using=using)

    assert [event.data for event in facts()] == [{"using": using}]


def test_a_custom_signal_that_cannot_be_found_stops_nothing(facts: Arrived, caplog: pytest.LogCaptureFixture) -> None:
    with chosen(CUSTOM_SIGNALS=["no.such.signal", "tests.emitter.library.signals.book_lent"]):
        Genre.objects.create(name="Novel")
        signals.book_lent.send(None)

    assert types(facts) == ["post_save", "book_lent"]


def test_where_nothing_is_to_be_sent_to_nothing_is_told(arrived: Arrived) -> None:
    with override_settings(HELIOGRAPH_URL=""):
        Genre.objects.create(name="Novel")

    assert arrived() == []


@pytest.mark.parametrize(
    ("path", "own"),
    [
        ("/srv/shop/orders", True),
        ("/srv/shop/.venv/lib/python3.13/site-packages/taggit", False),
        ("/opt/overlay/lib/python3.13/site-packages/taggit", False),
        ("/usr/lib/python3/dist-packages/taggit", False),
    ],
)
def test_what_lies_in_any_folder_of_packages_is_not_the_projects_own(path: str, own: bool) -> None:
    config = AppConfig("signals", signals)
    config.path = path

    assert selection.is_own(config) is own


def test_of_a_relation_that_a_model_left_out_declares_the_other_side_tells(facts: Arrived) -> None:
    with chosen(EXCLUDE_MODELS=["library.Book"]):
        book, genre = Book.objects.create(title="Emma"), Genre.objects.create(name="Novel")
        book.genres.add(genre)
        genre.books.clear()

    told = [(event.sender, event.subject, event.action) for event in facts()]
    assert told == [
        ("library.Genre", f"library.Genre/{genre.pk}", "created"),
        ("library.Genre", None, "added"),
        ("library.Genre", f"library.Genre/{genre.pk}", "cleared"),
    ]


def test_of_a_relation_that_is_left_out_nothing_is_asked(facts: Arrived, django_assert_num_queries: Any) -> None:
    book = Book.objects.create(title="Emma")
    with chosen(EXCLUDE_FIELDS=["library.Book.genres"]), django_assert_num_queries(3):  # begin, delete, commit
        book.genres.clear()

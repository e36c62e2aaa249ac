"""The kit for the tests of projects that use the emitter."""

from django.test import TestCase, override_settings

from emitter.testing import captured_events
from tests.emitter.library.models import Book


class BookTest(TestCase):
    @override_settings(HELIOGRAPH_URL="")
    def test_events_are_seen_without_a_service(self) -> None:
        with captured_events() as events, self.captureOnCommitCallbacks(execute=True):
            Book.objects.create(title="Emma")

        assert [event.action for event in events] == [None, "created"]

    def test_nothing_is_seen_of_what_is_not_committed(self) -> None:
        with captured_events() as events:
            Book.objects.create(title="Emma")

        assert events == []

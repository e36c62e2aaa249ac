"""Timestamps are read as Django would read them, only faster."""

from datetime import UTC, datetime

import pytest
from django.db import DataError, connection
from hypothesis import given
from hypothesis import strategies as st
from psycopg.postgres import types
from psycopg.pq import Format

from service.api.timestamps import Loader

pytestmark = pytest.mark.django_db


def read(text: str) -> datetime:
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s::timestamptz", [text])
        (moment,) = cursor.fetchone()
    assert isinstance(moment, datetime)
    return moment


def test_each_moment_is_read_as_it_is() -> None:
    @given(st.datetimes(timezones=st.just(UTC)))
    def told(moment: datetime) -> None:
        found = read(moment.isoformat())
        assert (found, found.tzinfo) == (moment, UTC)

    told()


@pytest.mark.parametrize("text", ["infinity", "12026-01-01 00:00:00+00", "0044-03-15 00:00:00+00 BC"])
def test_what_no_datetime_reaches_is_an_error_of_the_data(text: str) -> None:
    with pytest.raises(DataError, match="timestamp"):
        read(text)


def test_django_takes_this_loader_for_all_that_it_reads() -> None:
    with connection.cursor() as cursor:
        assert cursor.adapters.get_loader(types["timestamptz"].oid, Format.TEXT) is Loader

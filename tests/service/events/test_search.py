"""``q=``: what a search box takes, and where it says that it can't read on."""

import pytest

from tests.service.cast import Api, event, problem

DATA = {
    "changes": {"status": ["new", "paid"]},
    "fields": {"total": 19.9, "note": 'Says "hi" \\o/', "a.b": True, "c:d e": 1},
}
HERE = {"type": "shop.signals.order_paid", "sender": "shop.Order", "subject": "shop.Order/42", "actor": "auth.User/7"}
HERE |= {"action": "updated", "correlationid": "Zoë-1"}


@pytest.fixture
def found(api: Api) -> str:
    """Return the id of the one event that all the terms are about; the other has next to nothing."""
    sent = event(**HERE, data=DATA)
    assert api.send([sent, event(type="z", source="z")]).json()["accepted"] == 2
    return str(sent["id"])


@pytest.mark.parametrize(
    "text",
    [
        "sender:shop.Order",
        '  sender:"shop.Order"\tobject_id:42 ',
        'sender:shop.Order -actor:auth.User/1 changed:status data.fields.total:19.90 "paid"',
        "type__startswith:shop.signals.",
        "type__in:shop.signals.order_paid,x",
        "time__gte:2020-01-01T00:00:00Z actor:auth.User/7",
        "data.changes.status.1:paid",
        "data.changes.status.-1:paid",
        "data.fields.a\\.b:true",
        "data.fields.c\\:d\\ e:1",
        'data.fields.note:"Says \\"hi\\" \\\\o/"',
        '"says \\"HI\\""',
        "ORDER_PAID",
        "user/7",
        "zoë",
        "NEW",
        "-data.fields.total:20 -type:z",
        "-source:z",
    ],
)
def test_a_term_finds_the_event_and_not_the_other(text: str, found: str, api: Api) -> None:
    assert api.listed(q=text) == [found]


@pytest.mark.parametrize(
    "text",
    [
        "-sender:shop.Order",
        "-actor:auth.User/7",
        "-changed:status",
        "-data.fields.total:19.90",
        '-"paid"',
        "-actor__in:auth.User/7,b",
        "-outcome:committed -type__startswith:shop.",
        "-correlationid:Zoë-1",
    ],
)
def test_an_event_without_what_a_negated_term_asks_for_is_kept(text: str, found: str, api: Api) -> None:
    (kept,) = api.listed(q=text)

    assert kept != found


@pytest.mark.parametrize(
    "text",
    [
        "sender:shop.order",
        "type__startswith:shop_signals",
        "type__startswith:%",
        "data.fields.total:19.900000000000001",
        "data.fields:19.9",
        "data.fields.a.b:true",
        "total",
        "status",
        "ZOË",
        "or_er",
        "19.9",
    ],
)
def test_what_is_not_exactly_so_finds_nothing(text: str, found: str, api: Api) -> None:
    assert api.listed(q=text) == []


def test_a_search_and_the_other_parameters_are_joined_by_and(found: str, api: Api) -> None:
    assert api.listed(q="sender:shop.Order", action="updated") == [found]
    assert api.listed(q="sender:shop.Order", action="created") == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("   ", "has no term"),
        ("sendr:shop.Order", "at character 1, sendr:shop.Order: there is no field sendr"),
        ("actor:a http://x", "at character 9, http://x: there is no field http"),
        ("actor: a", "at character 1, actor: is followed by no value"),
        ("a -", "at character 3, a minus stands alone"),
        ('a "b', 'at character 3, "b: a quote is opened and not closed'),
        ('a b"c"', 'at character 3, b"c": a quote begins or ends inside a word'),
        ('"a"b', 'at character 1, "a"b: a quote begins or ends inside a word'),
        ('a actor:""', 'at character 3, actor:"": the quotes hold nothing'),
        ("a time__gte:noon", "at character 3, time__gte:noon: it is not a moment"),
        ("a b data..x:1", "at character 5, data..x:1: its path has an empty part"),
        ("traceid:1", "at character 1, traceid:1: it is not 32 hexadecimal digits"),
        ("a type__in:a,", "at character 3, type__in:a,: between two commas is nothing"),
        ("q:a", "there is no field q"),
        ("page_size:1", "there is no field page_size"),
        ("a\0b", "at character 1, a\0b: it holds a NUL"),
        (" ".join("a" * 33), "more than 32 terms"),
        ("a" * 4001, "4001 characters; 4000 may be"),
        ("a" * 1001, "1001 characters; 1000 may be"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(text: str, told: str, api: Api) -> None:
    document = problem(api.list(q=text), 400, "invalid_parameter", "q")

    assert told in document["errors"][0]["detail"]

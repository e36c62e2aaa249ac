"""``POST events/`` with bodies that can't be read: by Django's client here, by sockets in test_connections.py."""

import contextlib
import gzip
import json
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from io import BytesIO

import pytest

from service.api.body import zstd
from service.events.models import Event
from tests.service.cast import Api, event, problem, raw_event

ONE = "application/cloudevents+json"
MANY = "application/cloudevents-batch+json"
LINES = "application/x-ndjson"
MEBIBYTE = 1024 * 1024
ENCODINGS = [("gzip", partial(gzip.compress, compresslevel=1)), ("zstd", zstd.compress)]
CHECKED = zstd.compress(raw_event(), options={zstd.CompressionParameter.checksum_flag: 1})

VAST = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 24})  # of 16 MiB, for a stream


@pytest.mark.parametrize(
    "body",
    [
        b" ",
        b"\x0c" + raw_event(),
        b"\x0c[" + raw_event() + b"]",
        b"[" + raw_event(data="NaN") + b",]",
        b"[" + raw_event(data="NaN") + b"," + raw_event() + b"}",
        b"[" + raw_event(data="NaN") + b"," + raw_event() + b"]]",
        b"[" + raw_event(data="NaN") + b"][" + raw_event() + b"]",
        b"[" + raw_event(data="NaN") + b"," + raw_event() + b"] x",
        b"[" + raw_event(data="NaN") + b"," + raw_event(),
        b"[" + raw_event(data="NaN") + b" " + raw_event() + b"]",
        b"[" + raw_event(data="NaN") + b", [1]",
        b"[" + raw_event(data="NaN") + b'] "]',
        b"[,NaN]",
        b"{",
        b"[",
        b"nul",
        b"hello",
        raw_event()[:-1],
        raw_event() + raw_event(),
        raw_event() + b"]",
        b"[" + raw_event() + b",]",
        b"[" + raw_event() + b"}",
        raw_event(data="01"),
        raw_event(data="'x'"),
        raw_event(data='"\x01"'),
        raw_event(data='"\0"'),
        raw_event(data=r'"\q"'),
        raw_event(data=r'"\u00zz"'),
        raw_event(data=r'"\ud800\u"'),
        raw_event(data="NaN")[:-1],
        raw_event(data=".5"),
        raw_event(data="{1: 2}"),
        b"\xff\xfe" + raw_event(),
        raw_event(data='"x"').replace(b"x", b"\xe9"),
        raw_event(data='"x"').replace(b"x", b"\xed\xa0\x80"),
        b"\xef\xbb\xbf" + raw_event(),
        raw_event().decode().encode("utf-16-le"),
        raw_event().decode().encode("utf-32-be"),
    ],
)
def test_a_body_that_is_not_json_is_refused_as_a_whole_with_400(body: bytes, api: Api) -> None:
    problem(api.send(body), 400, "malformed_json")

    assert Event.objects.count() == 0


@pytest.mark.parametrize(
    "media_type",
    [
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/xml",
        "application/cloudevents",
        "application/jsonx",
        "application/cloudevents+avro",
        "é",
        ";",
        "application/json, text/plain",
    ],
)
def test_another_media_type_is_refused_with_415(media_type: str, api: Api) -> None:
    problem(api.send(event(), media_type), 415, "unsupported_media_type")

    assert Event.objects.count() == 0


@pytest.mark.parametrize("charset", ["latin-1", "utf-16", "UTF-8-SIG", '"ascii"'])
def test_another_charset_is_refused_with_415(charset: str, api: Api) -> None:
    problem(api.send(event(), f"application/json; charset={charset}"), 415, "unsupported_charset")

    assert Event.objects.count() == 0


@pytest.mark.parametrize(("content", "media_type"), [([event()], ONE), (event(), MANY)])
def test_a_form_that_belies_its_media_type_is_refused_with_400(content: object, media_type: str, api: Api) -> None:
    problem(api.send(content, media_type), 400, "wrong_form")

    assert Event.objects.count() == 0


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip", "zstd, gzip", "x"])
def test_another_encoding_is_refused_with_415_and_told_what_is_taken(encoding: str, api: Api) -> None:
    answer = api.send(gzip.compress(raw_event()), content_encoding=encoding)

    problem(answer, 415, "unsupported_encoding")
    assert answer.headers["Accept-Encoding"] == "gzip, zstd"


@pytest.mark.parametrize(
    "body",
    [
        raw_event(),
        zlib.compress(raw_event()),
        gzip.compress(raw_event())[:-1],
        gzip.compress(raw_event())[:-9],
        gzip.compress(raw_event())[:15],
        gzip.compress(raw_event())[:-8] + bytes(8),
        gzip.compress(raw_event()) + b"trailing",
        gzip.compress(raw_event()) + gzip.compress(b"")[:5],
    ],
    ids=["plain", "zlib", "a byte short", "no trailer", "a stub", "wrong checksum", "trailing", "second cut off"],
)
def test_gzip_that_is_broken_is_refused_with_400(body: bytes, api: Api) -> None:
    problem(api.send(body, content_encoding="gzip"), 400, "bad_gzip")

    assert Event.objects.count() == 0


@pytest.mark.parametrize(
    "body",
    [
        raw_event(),
        gzip.compress(raw_event()),
        zstd.compress(raw_event())[:-1],
        zstd.compress(raw_event())[:9],
        zstd.compress(raw_event())[:3],
        CHECKED[:-4] + bytes(4),
        zstd.compress(raw_event()) + b"trailing",
        zstd.compress(raw_event()) + zstd.compress(b"x" * 99)[:12],
        VAST.compress(raw_event()) + VAST.flush(),
    ],
    ids=["plain", "gzip", "a byte short", "a stub", "magic", "checksum", "trailing", "second cut off", "vast window"],
)
def test_zstd_that_is_broken_is_refused_with_400(body: bytes, api: Api) -> None:
    problem(api.send(body, content_encoding="zstd"), 400, "bad_zstd")

    assert Event.objects.count() == 0


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_an_empty_body_is_refused(encoding: str, api: Api) -> None:
    answer = api.send(b"", content_type="application/json", content_encoding=encoding)  # else the client leaves it out

    problem(answer, 400, "malformed_json")


@pytest.mark.parametrize("surplus", [0, 1])
def test_a_body_may_hold_5_mebibytes_and_not_a_byte_more(surplus: int, api: Api) -> None:
    body = raw_event().ljust(5 * MEBIBYTE + surplus)

    answer = api.send(body)

    if surplus:
        problem(answer, 413, "body_too_large")
    assert answer.status_code == (413 if surplus else 201)
    assert Event.objects.count() == 1 - surplus


@pytest.mark.parametrize("surplus", [0, 1])
@pytest.mark.parametrize(("encoding", "compress"), ENCODINGS)
def test_an_inflated_body_may_hold_20_mebibytes_and_not_a_byte_more(
    encoding: str, compress: Callable[[bytes], bytes], surplus: int, api: Api
) -> None:
    body = compress(raw_event().ljust(20 * MEBIBYTE + surplus))

    answer = api.send(body, content_encoding=encoding)

    if surplus:
        problem(answer, 413, "body_too_large")
    assert answer.status_code == (413 if surplus else 201)
    assert Event.objects.count() == 1 - surplus


@pytest.mark.parametrize(("encoding", "compress"), ENCODINGS)
def test_members_of_a_body_share_one_limit(encoding: str, compress: Callable[[bytes], bytes], api: Api) -> None:
    member = compress(b" " * 11 * MEBIBYTE)

    problem(api.send(member + member, content_encoding=encoding), 413, "body_too_large")


@pytest.mark.parametrize(("encoding", "compress"), ENCODINGS)
def test_a_body_of_countless_empty_members_costs_no_more_than_another(
    encoding: str, compress: Callable[[bytes], bytes], api: Api
) -> None:
    member = compress(b"")
    body = member * (5 * MEBIBYTE // len(member))

    begun = time.thread_time()
    answer = api.send(body, content_encoding=encoding)
    spent = time.thread_time() - begun

    problem(answer, 400, "malformed_json" if encoding == "gzip" else "bad_zstd")
    assert spent < 5


def test_an_array_of_countless_items_is_refused_before_they_are_kept(api: Api) -> None:
    body = gzip.compress(b"[" + b"0," * (10 * MEBIBYTE - 2) + b"0]", compresslevel=1)

    with peak_memory() as peak:
        answer = api.send(body, content_encoding="gzip")

    problem(answer, 413, "too_many_events")
    assert peak() < 100 * MEBIBYTE


@pytest.mark.parametrize(("encoding", "compress"), ENCODINGS)
def test_a_bomb_is_refused_before_it_is_inflated(encoding: str, compress: Callable[[bytes], bytes], api: Api) -> None:
    bomb = 16 * compress(bytes(64 * MEBIBYTE))

    with peak_memory() as peak:
        answer = api.send(bomb, content_encoding=encoding)

    assert len(bomb) < 5 * MEBIBYTE
    problem(answer, 413, "body_too_large")
    assert peak() < 100 * MEBIBYTE


def test_countless_items_that_no_decoder_takes_are_refused_before_they_are_kept(api: Api) -> None:
    body = gzip.compress(b"[" + b"NaN," * (4 * MEBIBYTE) + b"0]", compresslevel=1)

    with peak_memory() as peak:
        answer = api.send(body, content_encoding="gzip")

    problem(answer, 413, "too_many_events")
    assert peak() < 100 * MEBIBYTE


def test_what_no_decoder_takes_is_not_looked_through_without_end(api: Api) -> None:
    body = b"[NaN, [" + b"0," * (2 * MEBIBYTE) + b"0]]"

    problem(api.send(body), 400, "malformed_json")


def test_a_text_without_an_end_is_looked_through_once(api: Api) -> None:
    body = b'[NaN,"' + rb"\"" * (MEBIBYTE // 4)

    begun = time.thread_time()
    problem(api.send(body), 400, "malformed_json")

    assert time.thread_time() - begun < 10


@pytest.mark.parametrize("line", [b"\n", b" \r\n", b"0\n"])
def test_countless_lines_are_skipped_or_refused_before_they_are_kept(line: bytes, api: Api) -> None:
    body = gzip.compress(line * (20 * MEBIBYTE // len(line)), compresslevel=1)

    with peak_memory() as peak:
        answer = api.send(body, LINES, content_encoding="gzip")

    assert answer.status_code == (413 if line.strip() else 200)
    assert peak() < 100 * MEBIBYTE


@contextlib.contextmanager
def peak_memory() -> Iterator[Callable[[], int]]:
    """Yield what tells how many bytes Python's allocators held at once; it costs time."""
    peaks: list[int] = []
    tracemalloc.start()
    try:
        yield lambda: peaks[0]
    finally:
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()


@pytest.mark.parametrize("length", ["x", "-1", "1.5", "1_0", "²"])
def test_a_length_that_is_no_number_is_refused_with_400(length: str, api: Api) -> None:
    answer = api.client.generic(
        "POST", "/api/v1/events/", raw_event(), "application/json", headers=api.headers(), CONTENT_LENGTH=length
    )

    assert answer.status_code == 400
    assert json.loads(answer.content)["code"]


def test_a_body_of_http_2_needs_no_length(api: Api) -> None:
    environment = {"wsgi.input": BytesIO(raw_event()), "CONTENT_TYPE": "application/json", "CONTENT_LENGTH": ""}

    answer = api.client.generic(
        "POST",
        "/api/v1/events/",
        b"",
        "application/json",
        headers=api.headers(),
        SERVER_PROTOCOL="HTTP/2",
        **environment,
    )

    assert answer.status_code == 201


def test_a_charset_is_read_whatever_stands_beside_it(api: Api) -> None:
    answer = api.send(event(), "application/json; profile=x; charset=UTF8; version=1")

    assert answer.status_code == 201

"""Connections that are broken off: those that should be and no other, and the event loop goes on."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from service.front import answers, connections
from service.front.answers import Answer, ClientStuck, Exchange
from service.front.connections import Cuts
from service.front.memory import Memory, Share
from service.front.threads import Lane, Threads


@contextlib.contextmanager
def accepted(count: int) -> Iterator[list[tuple[socket.socket, socket.socket]]]:
    """Yield as many connections, both ends of each, the client's first."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=count))
        ends = []
        for _ in range(count):
            client = stack.enter_context(socket.create_connection(server.getsockname()))
            client.settimeout(30)
            ends.append((client, stack.enter_context(server.accept()[0])))
        yield ends


def scope_of(client: socket.socket) -> dict[str, Any]:
    return {"client": client.getsockname()}


def is_cut(client: socket.socket) -> bool:
    client.setblocking(False)
    try:
        return client.recv(1) == b""
    except BlockingIOError:
        return False


def test_many_are_cut_in_few_looks_away_from_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []
    own = connections.sockets

    def look() -> list[int]:
        looks.append(threading.get_ident())
        return own()

    async def cut_all(clients: list[socket.socket]) -> None:
        cuts = Cuts()
        await asyncio.gather(*(cuts.cut(scope_of(client)) for client in clients))

    monkeypatch.setattr(connections, "sockets", look)
    with accepted(60) as ends:
        clients = [client for client, _ in ends]
        asyncio.run(cut_all(clients[:50]))

        assert [is_cut(client) for client in clients] == [True] * 50 + [False] * 10

    assert len(looks) <= 2
    assert threading.get_ident() not in looks


def test_who_is_gone_already_is_no_error() -> None:
    async def cut(scope: dict[str, Any]) -> None:
        await Cuts().cut(scope)

    with accepted(1) as [(client, _)]:
        scope = scope_of(client)

    asyncio.run(cut(scope))


def test_an_answer_is_held_until_the_server_took_the_last_of_it() -> None:
    answer, memory = Answer(), Memory(10_000_000)
    answer.content = bytes(3 * answers.PIECE)

    async def run(taken: int) -> tuple[int, str]:
        """Send it to a server that takes so many messages and queues some more; return what was held, and the end."""
        queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue(answers.QUEUE + taken)
        share, most = Share(memory), 0

        async def send(message: dict[str, Any]) -> None:
            nonlocal most
            if message["type"] == "http.response.body":
                await queue.put(message)
            most = max(most, memory.held)

        exchange = Exchange(
            scope={"client": ("127.0.0.1", 1)}, receive=asyncio.Event().wait, send=send, share=share, patience=0.1
        )
        try:
            await answers.send_answer(answer, exchange, Threads(1), Lane(1, 0))
        except ClientStuck:
            end = f"stuck, {memory.held} held"
        else:
            end = "sent"
        share.close()
        return most, end

    size = len(answer.content)
    assert asyncio.run(run(2)) == (size, f"stuck, {size} held")
    assert asyncio.run(run(100)) == (size, "sent")
    assert memory.held == 0

"""How late tails show what comes, and what they cost ingest. ``make bench-tail``.

One run, one Postgres, one service, several rounds. In each round the same number of events is sent as fast as the
service takes them (4 connections, batches of 500), with 200 tails open in a process of their own: a fifth of them
follow everything, the others what one actor, object or type does. Before and after it as many are sent with no tail
open: as the table grows the rate falls, and the mean of both is that of a table as large. All share the machine.

Fails unless the median of the rounds' ratios is 0.9 at least, and 95 of 100 events are shown within 2 seconds of being
recorded.
"""

import argparse
import asyncio
import json
import re
import statistics
import subprocess
import sys
import time
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from benchmarks.ingest import CONNECTIONS, EVENTS, batches, running, seconds, send

BATCH = 500
LEAST_RATE = 0.9
MOST_LAG = 2.0
RECORDED = re.compile(rb'"recordedtime":"([^"]+)"')
DROPPED = re.compile(rb'event: dropped\ndata: {"count":([0-9]+)}')


class Heard:
    """What all tails have shown since they were last asked."""

    def __init__(self) -> None:
        self.lags: list[float] = []
        self.dropped = 0

    def read(self, text: bytes) -> None:
        now = time.time()
        self.lags += [now - datetime.fromisoformat(each.decode()).timestamp() for each in RECORDED.findall(text)]
        self.dropped += sum(map(int, DROPPED.findall(text)))


def filters(number: int) -> dict[str, str]:
    return [
        {},
        {"actor": f"auth.User/{number}"},
        {"sender": "shop.Order", "object_id": str(number)},
        {"type": "django.db.models.signals.post_save", "data.changes.status.1": "paid"},
        {"q": f"actor:auth.User/{number} changed:total"},
    ][number % 5]


async def follow(port: int, key: str, number: int, heard: Heard) -> asyncio.Task[None]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 24)
    address = f"{EVENTS}tail/?{urlencode(filters(number))}"
    writer.write(f"GET {address} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n\r\n".encode())
    status = await reader.readline()
    assert b" 200 " in status, status
    await reader.readuntil(b"\nid: ")
    return asyncio.create_task(listen(reader, writer, heard))


async def listen(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter, heard: Heard) -> None:
    rest = b""
    while piece := await reader.read(1 << 20):
        whole, divider, rest = (rest + piece).rpartition(b"\n\n")
        heard.read(whole + divider)


async def listeners(port: int, key: str, number: int) -> None:
    """Open the tails, say so, and tell what they showed once stdin ends."""
    heard = Heard()
    tasks = [await follow(port, key, each, heard) for each in range(number)]
    print("open", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await asyncio.sleep(3)  # for what is still on its way
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    heard.lags.sort()
    p50, p95 = (heard.lags[int(len(heard.lags) * part)] for part in (0.5, 0.95))
    print(json.dumps({"shown": len(heard.lags), "dropped": heard.dropped, "p50": p50, "p95": p95}), flush=True)


def rate(port: int, key: str, events: int) -> float:
    bodies = batches(events, BATCH)
    return events / seconds(lambda: send(port, key, bodies, CONNECTIONS))


def measure(events: int, rounds: int, tails: int) -> bool:
    ratios, lags = [], []
    with running("events:write,events:read") as (_, port, key):
        send(port, key, batches(events, BATCH), CONNECTIONS)  # warms up
        after = rate(port, key, events)
        for _ in range(rounds):
            before = after
            command = [sys.executable, "-m", "benchmarks.tail", "--listen", str(port), key, "--tails", str(tails)]
            listening = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            assert listening.stdout is not None
            assert listening.stdout.readline() == "open\n"
            beside = rate(port, key, events)
            told: dict[str, Any] = json.loads(listening.communicate()[0])
            after = rate(port, key, events)
            alone = (before + after) / 2
            ratios.append(beside / alone)
            lags.append(told["p95"])
            print(json.dumps({"alone": round(alone), "beside": round(beside), **told}), flush=True)
    ratio, lag = statistics.median(ratios), statistics.median(lags)
    print(f"ingest beside {tails} tails {ratio:.2f} of that without (at least {LEAST_RATE})")
    print(f"95 of 100 events shown within {lag:.2f} s (at most {MOST_LAG})")
    return ratio >= LEAST_RATE and lag <= MOST_LAG


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=100_000, help="in each half of a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tails", type=int, default=200)
    parser.add_argument("--listen", nargs=2, metavar=("PORT", "KEY"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.listen:
        asyncio.run(listeners(int(arguments.listen[0]), arguments.listen[1], arguments.tails))
    else:
        sys.exit(0 if measure(arguments.events, arguments.rounds, arguments.tails) else 1)


if __name__ == "__main__":
    main()

"""Let what many requests store at once share a commit. See docs/why/shared-commits.md.

One thread of a process commits. While it does, others come; then it takes what all of them have, and stores that in one
statement, in one commit. Nobody waits for a time to pass, and nobody is told before the commit. Who waits holds no
thread and no connection.
"""

import asyncio
import logging
import threading
from collections.abc import Sequence
from queue import Empty, SimpleQueue
from typing import NamedTuple

from django.db import connection

from service.events import operations
from service.events.operations import Row

logger = logging.getLogger(__name__)

MOST = 5_000  # events in one statement, and those of one post more

Stored = set[str] | None
Future = asyncio.Future[Stored]


class Post(NamedTuple):
    """What one request has to store. ``future`` gets its ids that were new; None if it has to be stored alone."""

    project_id: int
    rows: Sequence[Row]
    future: "Future"


class SharedCommits:
    """One for each process. Starts its thread with the first post, since a fork would leave it behind."""

    def __init__(self) -> None:
        self.posts: SimpleQueue[Post] = SimpleQueue()
        self.lock = threading.Lock()
        self.thread: threading.Thread | None = None

    def submit(self, project_id: int, rows: Sequence[Row]) -> "Future":
        """Store ``rows`` in a commit that others may share. Called in an event loop, which the future is of.

        What can't be stored together, for whatever reason, is not stored: each has to be stored alone then, by
        `operations.store_each`, so that the fault of one is no other's.
        """
        post = Post(project_id, rows, asyncio.get_running_loop().create_future())
        self.posts.put(post)
        if self.thread is None:
            self.start()
        return post.future

    def start(self) -> None:
        with self.lock:
            if self.thread is None:
                self.thread = threading.Thread(target=self.work, name="commits", daemon=True)
                self.thread.start()

    def work(self) -> None:
        while True:
            posts = self.next_posts()
            try:
                news: list[Stored] = [*store_together(posts)]
            except Exception:  # whose fault it is shows when each stores alone
                logger.warning("%d posts could not be stored together; each is stored alone", len(posts), exc_info=True)
                news = [None] * len(posts)
                connection.close()
            tell(posts, news)
            del posts  # else they would stay until the next ones

    def next_posts(self) -> list[Post]:
        """Wait for a post; return it with all others that wait."""
        posts = [self.posts.get()]
        count = len(posts[0].rows)
        try:
            while count < MOST:
                posts.append(self.posts.get_nowait())
                count += len(posts[-1].rows)
        except Empty:
            pass
        return posts


def store_together(posts: Sequence[Post]) -> list[set[str]]:
    """Store all in one commit; of an event that stands in several, the first post brings it."""
    rows: dict[int, list[Row]] = {}
    for post in posts:
        rows.setdefault(post.project_id, []).extend(post.rows)
    news = operations.store_all(rows)
    stored = []
    for post in posts:
        stored.append(news[post.project_id] & {row.id for row in post.rows})
        news[post.project_id] -= stored[-1]
    return stored


def tell(posts: Sequence[Post], news: Sequence[Stored]) -> None:
    """Settle the futures of ``posts``, each loop woken once."""
    for loop in {post.future.get_loop() for post in posts}:
        futures = [(post.future, new) for post, new in zip(posts, news, strict=True) if post.future.get_loop() is loop]
        loop.call_soon_threadsafe(settle, futures)


def settle(futures: Sequence[tuple["Future", Stored]]) -> None:
    for future, new in futures:
        if not future.done():
            future.set_result(new)


submit = SharedCommits().submit

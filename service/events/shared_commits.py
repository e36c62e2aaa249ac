"""Let what many threads store at once share a commit. See docs/why/shared-commits.md.

While one thread commits, others come and wait. The first of them is the next leader: it takes what all who wait have,
and stores it in one statement, in one commit. Nobody waits for a time to pass, and nobody returns before the commit.
"""

import threading
from collections.abc import Sequence

import django.db
from django.db import connection

from service.events import operations
from service.events.operations import NoPartition, Row


class Post:
    """What one thread has to store. ``stored`` are its ids that were new, None as long as nobody stored it."""

    __slots__ = ("leads", "project_id", "rows", "stored", "turn")

    def __init__(self, project_id: int, rows: Sequence[Row]) -> None:
        self.project_id = project_id
        self.rows = rows
        self.stored: set[str] | None = None
        self.leads = False
        self.turn = threading.Lock()  # held until the post is stored, or is to lead, or is left to its own thread
        self.turn.acquire()


class SharedCommits:
    """One for each process: the threads that store by it share commits."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.waiting: list[Post] = []
        self.is_led = False

    def store(self, project_id: int, rows: Sequence[Row]) -> tuple[set[str], set[Row]]:
        """Do as `operations.store_each` does, in a commit that others may share.

        What can't be stored together, for whatever reason, each stores alone: the fault of one is no other's.
        """
        if not rows or connection.in_atomic_block:  # what isn't committed on return can't be told as stored to others
            return operations.store_each(project_id, rows)
        post = Post(project_id, rows)
        self.join(post)
        post.turn.acquire()
        if post.leads:
            self.lead()
        if post.stored is None:
            return operations.store_each(project_id, rows)
        return post.stored, set()

    def join(self, post: Post) -> None:
        with self.lock:
            self.waiting.append(post)
            if not self.is_led:
                self.is_led = True
                self.appoint(post)

    def lead(self) -> None:
        with self.lock:
            posts, self.waiting = self.waiting, []
        try:
            store_together(posts)
        except (django.db.Error, NoPartition):
            pass  # whose fault it is shows when each stores alone
        finally:
            self.hand_over()
            for post in posts:
                if not post.leads:
                    post.turn.release()

    def hand_over(self) -> None:
        with self.lock:
            self.is_led = bool(self.waiting)
            if self.waiting:
                self.appoint(self.waiting[0])

    def appoint(self, post: Post) -> None:
        post.leads = True
        post.turn.release()


def store_together(posts: Sequence[Post]) -> None:
    """Store all in one commit; of an event that stands in several, the first post brings it."""
    rows: dict[int, list[Row]] = {}
    for post in posts:
        rows.setdefault(post.project_id, []).extend(post.rows)
    news = operations.store_all(rows)
    for post in posts:
        post.stored = news[post.project_id] & {row.id for row in post.rows}
        news[post.project_id] -= post.stored


store = SharedCommits().store

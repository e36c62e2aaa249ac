"""All rules together, and the one that opens transactions."""

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from tests.equivalence import values
from tests.equivalence.bulk import Bulk
from tests.equivalence.deletes import Deletes
from tests.equivalence.relations import Relations
from tests.equivalence.saves import LOADS, Saves

DEPTH = 3  # of nested blocks
Block = tuple[bool, int, str]
ENDS = st.sampled_from(["commit", "commit", "rollback", "set_rollback()"])
BLOCK: st.SearchStrategy[Block] = st.tuples(st.booleans(), st.integers(1, 6), ENDS)


class Machine(Saves, Bulk, Deletes, Relations):
    """Starts with a few of each, so that most rules have something to work on."""

    @initialize()
    def open_the_library(self) -> None:
        models = self.models
        with self.operation("create()"):
            authors = [models.Author.objects.create(name="One")]
            authors += [models.Author.objects.create(name=name, mentor=authors[0]) for name in ("Two", "Three")]
            genres = [models.Genre.objects.create(name=name) for name in ("One", "Two")]
            models.Genre.objects.create(name="Three", parent=genres[0])
            houses = [models.Publisher.objects.create(name=name) for name in ("One", "Two")]
            for author, house in zip(authors, [*houses, None], strict=True):
                book = models.Book.objects.create(title=author.name, author=author, publisher=house)
                book.genres.add(*genres)
            models.Audiobook.objects.create(title="One", author=authors[0], narrator="Two")
        self.keep(book)
        self.keep(authors[0])

    @precondition(lambda self: len(self.blocks) < DEPTH)
    @rule(block=BLOCK)
    def open_a_block(self, block: Block) -> None:
        self.begin(*block)

    @precondition(lambda self: not self.blocks)
    @rule(blocks=st.lists(BLOCK, min_size=2, max_size=DEPTH))
    def open_nested_blocks(self, blocks: list[Block]) -> None:
        for block in blocks:
            self.begin(*block)

    @precondition(lambda self: len(self.blocks) < DEPTH)
    @rule(n=values.index, how=LOADS, some=values.some.filter(bool), ends=ENDS)
    def load_in_a_block(self, n: int, how: str, some: dict[str, Any], ends: str) -> None:
        """Know what another has written and perhaps rolls back, and write it."""
        key = self.key(self.models.Book, n)
        if key is None:
            return
        books = self.models.Book.objects.filter(pk=key)
        self.begin(True, 2, ends)
        with self.operation("update() by pk"):
            books.update(**some)
        kept = [self.keep(instance) for instance in self.loaded(self.models.Book, key, how)]
        with self.operation("update() by pk"):
            books.update(edition=3)
        for each in kept:
            self.fresh(each)
            with self.operation("save() of what was loaded in a block", each):
                each.instance.save()

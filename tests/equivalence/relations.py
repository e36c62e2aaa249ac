"""Rules that relate objects: many to many from both sides, and the reverse side of a foreign key."""

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests.equivalence import values
from tests.equivalence.world import World

CALLS = st.sampled_from(["add", "remove", "set", "clear", "set(clear)", "create"])
OTHERS = st.lists(values.index, max_size=3)


class Relations(World):
    @rule(call=CALLS, n=values.index, others=OTHERS, name=st.sampled_from(["Book", "Novel", "Audiobook"]))
    def relate_genres(self, call: str, n: int, others: list[int], name: str) -> None:
        owner = self.owner(getattr(self.models, name), n)
        self.relate("forward", owner and owner.genres, call, self.keys(self.models.Genre, others))

    @rule(call=CALLS, n=values.index, others=OTHERS)
    def relate_to_a_genre(self, call: str, n: int, others: list[int]) -> None:
        owner = self.owner(self.models.Genre, n)
        self.relate("reverse", owner and owner.books, call, self.keys(self.models.Book, others))

    @rule(call=CALLS, n=values.index, others=OTHERS)
    def relate_friends(self, call: str, n: int, others: list[int]) -> None:
        owner = self.owner(self.models.Author, n)
        self.relate("symmetrical", owner and owner.friends, call, self.keys(self.models.Author, others))

    @rule(call=CALLS, n=values.index, others=OTHERS, reverse=st.booleans())
    def relate_likes(self, call: str, n: int, others: list[int], reverse: bool) -> None:
        model, other = self.models.Author, self.models.Genre
        if reverse:
            model, other = other, model
        owner = self.owner(model, n)
        manager = owner and (owner.fans if reverse else owner.likes)
        self.relate("through a model", manager, call, self.keys(other, others))

    def owner(self, model: Any, n: int) -> Any:
        key = self.key(model, n)
        return None if key is None else model.objects.get(pk=key)

    def relate(self, side: str, manager: Any, call: str, others: list[Any]) -> None:
        if manager is not None:
            with self.operation(f"m2m, {side}"):
                related(manager, call, others)

    @rule(
        name=st.sampled_from(["Author", "Publisher"]),
        call=st.sampled_from(["add", "add(bulk=False)", "remove", "set", "clear", "set(clear)", "create"]),
        n=values.index,
        others=values.indexes,
        held=st.booleans(),
    )
    def relate_books(self, name: str, call: str, n: int, others: list[int], held: bool) -> None:
        owner = self.owner(getattr(self.models, name), n)
        if owner is None:
            return
        kept = [each for i in others if (each := self.held(i, self.models.Book))] if held else []
        kept = [each for each in kept if each.instance.pk in self.actual.rows[self.models.Book]]
        books = [each.instance for each in kept] or self.found(others)
        if call == "remove":  # refuses those that aren't its own
            books = [book for book in books if getattr(book, f"{name.lower()}_id") == owner.pk]
        own = kept if call == "add(bulk=False)" else []  # the others write past the instances
        with self.operation(f"reverse foreign key, {call}", *own):
            match call:
                case "add(bulk=False)":
                    owner.books.add(*books, bulk=False)
                case "create":
                    owner.books.create(title="of a shelf")
                case _:
                    related(owner.books, call, books)

    def found(self, numbers: list[int]) -> list[Any]:
        return list(self.models.Book.objects.filter(pk__in=self.keys(self.models.Book, numbers)))


def related(manager: Any, call: str, others: list[Any]) -> None:
    match call:
        case "add":
            manager.add(*others)
        case "remove":
            manager.remove(*others)
        case "set":
            manager.set(others)
        case "set(clear)":
            manager.set(others, clear=True)
        case "clear":
            manager.clear()
        case "create":
            manager.create(**({"title": "new"} if hasattr(manager.model, "title") else {"name": "new"}))

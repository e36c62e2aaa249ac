"""Rules that change many rows in one call."""

from typing import Any

from django.db.models import F, Q
from django.db.models.functions import Now
from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests.equivalence import values
from tests.equivalence.world import World

TOLD = ["pk", "pk__in", "title", "author", "null", "two", "publishers", "all"]
FILTERS = st.sampled_from([*TOLD, "joined", "through_m2m", "greater", "or", "not"])
SPECIAL = st.sampled_from(["a child's table", "a child and its parent", "rows by others of their table", "a key"])


class Bulk(World):
    def books(self, model: Any, how: str, numbers: list[int], text: str) -> Any:
        """Return a queryset of books: by conditions that an event can tell, and by such that it can't."""
        keys = self.keys(model, numbers)
        authors, publishers = self.keys(self.models.Author, numbers), self.keys(self.models.Publisher, numbers)
        authors, genres = authors or [0], self.keys(self.models.Genre, numbers) or [0]
        simple = {
            "pk": {"pk": keys[0] if keys else 0},
            "pk__in": {"pk__in": keys},
            "title": {"title": text},
            "author": {"author": authors[0]},
            "null": {"author": None},
            "two": {"title": text, "pages__in": [1, "2"]},
            "publishers": {"publisher__in": publishers},
            "joined": {"author__name": text},
            "through_m2m": {"genres": genres[0]},
            "greater": {"pages__gt": 1},
        }
        found = model.objects.all()
        if how == "or":
            return found.filter(title=text) | found.filter(pages=1)
        if how == "not":
            return found.exclude(Q(title=text) | Q(pages=1))
        return found.filter(**simple.get(how, {}))

    @rule(
        name=st.sampled_from(["Book", "Novel", "Audiobook"]),
        how=FILTERS,
        numbers=values.indexes,
        text=values.texts,
        some=values.some.filter(bool),
    )
    def update(self, name: str, how: str, numbers: list[int], text: str, some: dict[str, Any]) -> None:
        with self.operation(f"update() by {how}"):
            self.books(getattr(self.models, name), how, numbers, text).update(**some)

    @rule(how=st.sampled_from(TOLD), numbers=values.indexes, text=values.texts, author=values.index)
    def update_with_an_object(self, how: str, numbers: list[int], text: str, author: int) -> None:
        other = self.models.Author.objects.filter(pk=self.key(self.models.Author, author)).first()
        with self.operation("update() with an object"):
            self.books(self.models.Book, how, numbers, text).update(author=other)

    @rule(how=st.sampled_from(["pk", "title", "all"]), numbers=values.indexes, text=values.texts)
    def update_with_an_expression(self, how: str, numbers: list[int], text: str) -> None:
        with self.operation("update() with F()"):
            self.books(self.models.Book, how, numbers, text).update(pages=F("pages") + 1, title=text, bought_at=Now())

    @rule(what=SPECIAL, n=values.index, text=values.texts, name=values.texts)
    def update_specially(self, what: str, n: int, text: str, name: str) -> None:
        with self.operation(f"update() of {what}"):
            match what:
                case "a child's table":
                    self.models.Audiobook.objects.filter(title=text).update(narrator=name)
                case "a child and its parent":
                    self.models.Audiobook.objects.filter(narrator=text).update(title=name, narrator=name)
                case "rows by others of their table":
                    self.models.Genre.objects.filter(parent__name=text).update(name=name)
                case "a key":
                    key = self.key(self.models.Publisher, n)
                    self.models.Publisher.objects.filter(pk=key or 0).update(id=30_000 + len(self.seen))

    @rule(many=st.lists(values.some, min_size=1, max_size=3), author=values.index)
    def bulk_create(self, many: list[dict[str, Any]], author: int) -> None:
        key = self.key(self.models.Author, author)
        books = [self.models.Book(author_id=key, **some) for some in many]
        with self.operation("bulk_create()"):
            self.models.Book.objects.bulk_create(books)
        for book in books:
            if book.pk is not None:
                self.keep(book)

    @rule(numbers=values.indexes, some=values.some, merge=st.booleans())
    def bulk_create_over_others(self, numbers: list[int], some: dict[str, Any], merge: bool) -> None:
        keys = [*self.keys(self.models.Publisher, numbers), 40_000 + len(self.seen)]
        how = {"update_conflicts": True, "unique_fields": ["id"], "update_fields": ["name"]}
        with self.operation("bulk_create(update_conflicts)" if merge else "bulk_create(ignore_conflicts)"):
            self.models.Publisher.objects.bulk_create(
                [self.models.Publisher(pk=key, name=some.get("title", "new")) for key in keys],
                **(how if merge else {"ignore_conflicts": True}),
            )

    @rule(numbers=values.indexes, some=values.some)
    def bulk_merge_books(self, numbers: list[int], some: dict[str, Any]) -> None:
        books = [self.models.Book(pk=key, **some) for key in self.keys(self.models.Book, numbers)]
        with self.operation("bulk_create(update_conflicts)"):
            self.models.Book.objects.bulk_create(
                books, update_conflicts=True, unique_fields=["id"], update_fields=["title", "pages"]
            )

    @rule(numbers=values.indexes, some=values.some.filter(bool), loaded=st.booleans())
    def bulk_update(self, numbers: list[int], some: dict[str, Any], loaded: bool) -> None:
        kept = [each for n in numbers if (each := self.held(n, self.models.Book))] if not loaded else []
        kept = list({each.instance.pk: each for each in kept if each.instance.pk is not None}.values())
        books = [each.instance for each in kept]
        if loaded:
            books = list(self.models.Book.objects.filter(pk__in=self.keys(self.models.Book, numbers)))
        for book in books:
            for name, value in some.items():
                setattr(book, name, value)
        with self.operation("bulk_update()", *kept):
            self.models.Book.objects.bulk_update(books, list(some))

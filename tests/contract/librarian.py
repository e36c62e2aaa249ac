"""A client project that does random things to its objects: ``python -m tests.contract.librarian URL KEY SEED STEPS``.

It prints one line of JSON for each thing that it did: a ``moment``, an id that the emitter minted then, and all
``rows`` as its database held them at that moment, by label and key: the values of their columns, and their relations.
"""

import json
import random
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import django
from django.conf import settings

TITLES = ["One", "Two", "one", "Zwölf 📚"]


def main(url: str, key: str, seed: int, steps: int) -> None:
    set_up(url, key)
    from emitter import outlet
    from emitter.event import stamp

    library = Library(random.Random(seed))
    for _ in range(steps):
        done = library.do_something()
        moment, _time = stamp()
        print(json.dumps({"moment": str(moment), "done": done, "rows": library.rows()}), flush=True)
    if not outlet.flush(timeout=60):
        raise SystemExit("not all could be sent")


def set_up(url: str, key: str) -> None:
    settings.configure(
        USE_TZ=True,
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "tests.equivalence.loaded", "emitter"],
        MIGRATION_MODULES=dict.fromkeys(["auth", "contenttypes"]),
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        HELIOGRAPH_URL=url,
        HELIOGRAPH_KEY=key,
        HELIOGRAPH_SOURCE="/librarian",
        HELIOGRAPH_MODELS=["loaded.*"],
        HELIOGRAPH_SHUTDOWN_TIMEOUT=30.0,
    )
    django.setup()
    from django.core.management import call_command

    call_command("migrate", run_syncdb=True, verbosity=0)


class SorryError(Exception):
    """Rolls back what was done."""


class Library:
    """Objects are always fresh: of a stale one, no emitter can see without a query what its save overwrote."""

    def __init__(self, chance: random.Random) -> None:
        from tests.equivalence.loaded import models

        self.chance = chance
        self.models: Any = models
        self.done = 0

    def do_something(self) -> str:
        from django.db import IntegrityError, transaction

        what: Callable[[], None] = self.chance.choice(
            [self.create] * 4
            + [self.save, self.save, self.save_some, self.update, self.update, self.update]
            + [self.update_by_value, self.bulk_create, self.merge, self.bulk_update, self.delete, self.delete_many]
            + [self.relate, self.relate, self.relate, self.befriend]
        )
        is_taken_back = self.chance.random() < 0.15
        try:
            with transaction.atomic():
                what()
                if is_taken_back:
                    raise SorryError
        except (SorryError, IntegrityError):
            return f"{what.__name__}, taken back"
        return what.__name__

    def some(self) -> dict[str, Any]:
        """Return values for some fields of a book."""
        values = {
            "title": self.chance.choice(TITLES),
            "price": self.chance.choice([Decimal("9.90"), Decimal(7), "12.50"]),
            "details": self.chance.choice([None, {}, {"a": [1, 2.5]}, "text"]),
            "pages": self.chance.choice([None, 0, 1, 300]),
            "bought_at": self.chance.choice([None, datetime(2026, 1, 2, 3, 4, 5, 678, UTC)]),
            "publisher_id": self.chance.choice([None, *self.keys(self.models.Publisher)]),
        }
        names = self.chance.sample(sorted(values), self.chance.randint(1, 3))
        return {name: values[name] for name in names}

    def keys(self, model: Any) -> list[int]:
        return list(model.objects.order_by("pk").values_list("pk", flat=True))

    def few(self, model: Any) -> list[int]:
        keys = self.keys(model)
        return self.chance.sample(keys, min(len(keys), self.chance.randint(1, 3)))

    def create(self) -> None:
        model = self.chance.choice([self.models.Book, self.models.Genre, self.models.Author, self.models.Publisher])
        if model is self.models.Book:
            model.objects.create(**self.some())
        else:
            model.objects.create(name=self.chance.choice(TITLES))

    def save(self) -> None:
        for book in self.models.Book.objects.filter(pk__in=self.few(self.models.Book)):
            for name, value in self.some().items():
                setattr(book, name, value)
            book.save()

    def save_some(self) -> None:
        for book in self.models.Book.objects.filter(pk__in=self.few(self.models.Book)):
            some = self.some()
            for name, value in some.items():
                setattr(book, name, value)
            book.save(update_fields=[name.removesuffix("_id") for name in some])

    def update(self) -> None:
        """By keys: of one book, or of some."""
        keys = self.few(self.models.Book)
        books = self.models.Book.objects
        found = books.filter(pk=keys[0]) if len(keys) == 1 else books.filter(pk__in=keys)
        found.update(**self.some())

    def update_by_value(self) -> None:
        from django.db.models import F

        title = self.chance.choice(TITLES)
        books = self.models.Book.objects
        match self.chance.randrange(6):
            case 0:
                books.filter(title=title).update(**self.some())
            case 1:
                books.filter(pages__gt=0).update(**self.some())
            case 2:
                books.filter(pages__isnull=True).update(title=title)
            case 3:
                books.filter(title__in=TITLES[:2], pages=1).update(details=None)
            case 4:
                books.filter(pk__in=self.few(self.models.Book)).update(pages=F("pages") + 1)
            case 5:
                books.update(title=title)

    def bulk_create(self) -> None:
        count = self.chance.choice([1, 2, 120])  # of which a hundred are told
        if count == 120 and self.models.Book.objects.count() > 100:
            count = 1
        self.models.Book.objects.bulk_create([self.models.Book(**self.some()) for _ in range(count)])

    def merge(self) -> None:
        keys = {*self.few(self.models.Publisher), 1_000 + self.chance.randrange(5)}
        found = [self.models.Publisher(pk=key, name=self.chance.choice(TITLES)) for key in keys]
        if self.chance.random() < 0.5:
            self.models.Publisher.objects.bulk_create(found, ignore_conflicts=True)
        else:
            merge: dict[str, Any] = {"unique_fields": ["id"], "update_fields": ["name"]}
            self.models.Publisher.objects.bulk_create(found, update_conflicts=True, **merge)

    def bulk_update(self) -> None:
        some = self.some()
        found = list(self.models.Book.objects.filter(pk__in=self.few(self.models.Book)))
        for book in found:
            for name, value in some.items():
                setattr(book, name, value)
        if found:
            self.models.Book.objects.bulk_update(found, [name.removesuffix("_id") for name in some])

    def delete(self) -> None:
        model = self.chance.choice([self.models.Book, self.models.Genre, self.models.Author, self.models.Publisher])
        keys = self.few(model)
        if keys:
            model.objects.get(pk=keys[0]).delete()

    def delete_many(self) -> None:
        if self.chance.random() < 0.5:
            self.models.Book.objects.filter(pk__in=self.few(self.models.Book)).delete()
        else:
            found = self.models.Publisher.objects.filter(pk__in=self.few(self.models.Publisher))
            self.models.Book.objects.filter(publisher__in=found).update(publisher=None)
            found._raw_delete(found.db)

    def relate(self) -> None:
        books, genres = self.few(self.models.Book), self.few(self.models.Genre)
        if not (books and genres):
            return
        here, others = self.models.Book.objects.get(pk=books[0]).genres, genres
        if self.chance.random() < 0.5:
            here, others = self.models.Genre.objects.get(pk=genres[0]).books, books
        self.change(here, others)

    def befriend(self) -> None:
        authors = self.few(self.models.Author)
        if authors:
            self.change(self.models.Author.objects.get(pk=authors[0]).friends, authors)

    def change(self, manager: Any, others: list[int]) -> None:
        match self.chance.choice(["add", "add", "add", "set", "remove", "clear"]):
            case "add":
                manager.add(*others)
            case "set":
                manager.set(others)
            case "remove":
                manager.remove(*others)
            case "clear":
                manager.clear()

    def rows(self) -> dict[str, dict[str, Any]]:
        from emitter.values import encode

        held: dict[str, dict[str, Any]] = {}
        for model in (self.models.Book, self.models.Genre, self.models.Author, self.models.Publisher):
            for values in model.objects.values():
                held[f"{model._meta.label}/{values['id']}"] = {"fields": json.loads(encode(values)), "relations": {}}
        for here, there in self.models.Book.genres.through.objects.values_list("book_id", "genre_id"):
            tell(held, f"loaded.Book/{here}", "loaded.Book.genres", there)
            tell(held, f"loaded.Genre/{there}", "loaded.Book.genres, reverse", here)
        friends = self.models.Author.friends.through
        for here, there in friends.objects.values_list("from_author_id", "to_author_id"):
            tell(held, f"loaded.Author/{here}", "loaded.Author.friends", there)
        return held


def tell(held: dict[str, dict[str, Any]], name: str, relation: str, other: int) -> None:
    held[name]["relations"].setdefault(relation, []).append(str(other))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))

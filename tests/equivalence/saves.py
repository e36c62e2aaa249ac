"""Rules that make and save one object."""

from typing import Any

from django.db.models import F
from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests.equivalence import values
from tests.equivalence.world import Kept, World, copied

BOOKS = st.sampled_from(["Book", "Novel", "Audiobook"])
LOADS = st.sampled_from(["get", "only", "defer", "related", "through_author", "deepcopy", "pickle", "twice"])


class Saves(World):
    def book_values(self, some: dict[str, Any], author: int | None, publisher: int | None) -> dict[str, Any]:
        key = None if author is None else self.key(self.models.Author, author)
        house = None if publisher is None else self.key(self.models.Publisher, publisher)
        return {**some, "author_id": key, "publisher_id": house}

    @rule(name=st.sampled_from(["Author", "Genre", "Publisher"]), text=values.texts, other=st.none() | values.index)
    def create(self, name: str, text: str, other: int | None) -> None:
        model = getattr(self.models, name)
        key = None if other is None or name == "Publisher" else self.key(model, other)
        with self.operation("create()"):
            link = {"Author": {"mentor_id": key}, "Genre": {"parent_id": key}}.get(name, {})
            instance = model.objects.create(name=text, **link)
        self.keep_saved(instance)

    @rule(name=BOOKS, some=values.some, author=st.none() | values.index, publisher=st.none() | values.index)
    def create_book(self, name: str, some: dict[str, Any], author: int | None, publisher: int | None) -> None:
        instance = getattr(self.models, name)(**self.book_values(some, author, publisher))
        with self.operation("Model().save()"):
            instance.save()
        self.keep_saved(instance)

    @rule(name=BOOKS, n=st.none() | values.index, some=values.some, force=st.booleans())
    def save_with_a_key(self, name: str, n: int | None, some: dict[str, Any], force: bool) -> None:
        model = getattr(self.models, name)
        key = 10_000 + len(self.seen) if n is None else self.key(model, n)
        instance = model(pk=key, **some)
        if name == "Audiobook":
            instance.id = key
        with self.operation("Model(pk=…).save()"):
            instance.save(force_insert=force)

    @rule(text=values.texts, number=values.numbers)
    def get_or_create(self, text: str, number: Any) -> None:
        found = self.models.Author.objects.filter(born=number).order_by("pk").first()
        with self.operation("get_or_create()"):
            self.models.Author.objects.get_or_create(pk=found and found.pk, born=number, defaults={"name": text})

    @rule(text=values.texts, some=values.some)
    def update_or_create(self, text: str, some: dict[str, Any]) -> None:
        found = self.models.Book.objects.filter(title=text).order_by("pk").first()
        with self.operation("update_or_create()"):
            self.models.Book.objects.update_or_create(pk=found and found.pk, title=text, defaults=some)

    def keep_saved(self, instance: Any) -> None:
        if instance.pk is not None:
            self.keep(instance)

    @rule(n=values.index, name=BOOKS, how=LOADS)
    def load(self, n: int, name: str, how: str) -> None:
        model = getattr(self.models, name)
        key = self.key(model, n)
        if key is not None:
            for instance in self.loaded(model, key, how):
                self.keep(instance)

    def loaded(self, model: Any, key: Any, how: str) -> list[Any]:
        found = model.objects.filter(pk=key)
        match how:
            case "only":
                return list(found.only("title", "pages"))
            case "defer":
                return list(found.defer("details", "price"))
            case "related":
                book = found.select_related("author", "publisher").get()
                return [each for each in (book, book.author, book.publisher) if each is not None]
            case "through_author":
                author = found.get().author
                return list(author.books.all()) if author else []
            case "deepcopy" | "pickle":
                return [copied(found.get(), how)]
            case "twice":
                return [found.get(), found.get()]
            case _:
                return [found.get()]

    @rule(n=values.index)
    def load_an_author(self, n: int) -> None:
        key = self.key(self.models.Author, n)
        if key is not None:
            self.keep(self.models.Author.objects.get(pk=key))

    def book(self, n: int) -> Kept | None:
        return self.held(n, self.models.Book)

    def assign(self, instance: Any, some: dict[str, Any], author: int | None) -> None:
        for name, value in some.items():
            setattr(instance, name, value)
        if author is not None and (key := self.key(self.models.Author, author)) is not None:
            instance.author = self.models.Author.objects.get(pk=key)

    @rule(n=values.index, some=values.some, author=st.none() | values.index)
    def save(self, n: int, some: dict[str, Any], author: int | None) -> None:
        if kept := self.book(n):
            self.assign(kept.instance, some, author)
            with self.operation("save()", kept):
                kept.instance.save()

    @rule(n=values.index, some=values.some, columns=st.lists(values.column, unique=True, max_size=3))
    def save_some_fields(self, n: int, some: dict[str, Any], columns: list[str]) -> None:
        if kept := self.book(n):
            self.assign(kept.instance, some, None)
            with self.operation("save(update_fields=…)", kept):
                kept.instance.save(update_fields=columns)

    @rule(n=values.index, some=values.some, others=values.some)
    def save_twice(self, n: int, some: dict[str, Any], others: dict[str, Any]) -> None:
        if kept := self.book(n):
            for each in (some, others):
                self.assign(kept.instance, each, None)
                with self.operation("save(), twice", kept):
                    kept.instance.save()

    @rule(n=values.index, partly=st.booleans(), again=st.booleans())
    def save_an_expression(self, n: int, partly: bool, again: bool) -> None:
        if kept := self.book(n):
            kept.instance.pages = F("pages") + 1
            with self.operation("save() with F()", kept):
                kept.instance.save(update_fields=["pages"] if partly else None)
            if again:
                with self.operation("refresh_from_db", kept):
                    kept.instance.refresh_from_db()

    @rule(n=values.index, value=values.json)
    def save_json_changed_in_place(self, n: int, value: Any) -> None:
        if kept := self.book(n):
            with self.operation("save() of JSON changed in place", kept):
                if isinstance(kept.instance.details, dict):
                    kept.instance.details["b"] = value
                elif isinstance(kept.instance.details, list):
                    kept.instance.details.append(value)
                kept.instance.save()

    @rule(n=values.index, text=values.texts, born=values.numbers, mentor=st.none() | values.index)
    def save_an_author(self, n: int, text: str, born: Any, mentor: int | None) -> None:
        if kept := self.held(n, self.models.Author):
            kept.instance.name, kept.instance.born = text, born
            kept.instance.mentor_id = None if mentor is None else self.key(self.models.Author, mentor)
            with self.operation("save() with auto_now", kept):
                kept.instance.save()

    @rule(n=values.index, columns=st.none() | st.lists(values.column, min_size=1, max_size=2), some=values.some)
    def refresh(self, n: int, columns: list[str] | None, some: dict[str, Any]) -> None:
        if kept := self.book(n):
            self.assign(kept.instance, some, None)
            with self.operation("refresh_from_db", *([kept] if columns is None else [])):
                kept.instance.refresh_from_db(fields=columns)
            with self.operation("save() of what was partly refreshed", kept):
                kept.instance.save()

    @rule(n=values.index, to=st.none() | values.index)
    def save_under_another_key(self, n: int, to: int | None) -> None:
        if kept := self.book(n):
            kept.instance.pk = 20_000 + len(self.seen) if to is None else self.key(type(kept.instance), to)
            with self.operation("save() with another pk", kept):
                kept.instance.save()

"""A library: the models that the emitter's tests save, change and delete."""

import uuid
from typing import Any, Self

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models


class Author(models.Model):
    name = models.CharField(max_length=100)


class Genre(models.Model):
    name = models.CharField(max_length=100)


class Book(models.Model):
    title = models.CharField(max_length=100)
    author = models.ForeignKey(Author, on_delete=models.CASCADE, null=True)
    genres = models.ManyToManyField(Genre, related_name="books")
    price = models.DecimalField(max_digits=8, decimal_places=2, default="9.90")
    details = models.JSONField(default=dict)
    bought_at = models.DateTimeField(null=True)
    lender = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True)

    def __str__(self) -> str:
        raise AssertionError("the emitter must never call __str__")


class Novel(Book):
    class Meta:
        proxy = True


class Card(models.Model):
    """A reader's card, with a key that isn't a number and with secrets."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    pin = models.CharField(max_length=10)
    api_token = models.CharField(max_length=100, null=True)
    author_name = models.CharField(max_length=100, default="")


class Audiobook(Book):
    """Multi-table inheritance: one row here and one of Book."""

    narrator = models.CharField(max_length=100, default="")


class Shelf(models.Model):
    """Relates to books by a model of its own, to itself, and has values that can be changed in place."""

    name = models.CharField(max_length=100, default="", db_column="shelf_name")
    books = models.ManyToManyField(Book, through="Placement", related_name="shelves")
    neighbours = models.ManyToManyField("self")
    labels = ArrayField(models.CharField(max_length=20), default=list)
    plan = models.FileField(null=True)
    stamp = models.BinaryField(default=b"")
    height = models.FloatField(default=2.0)
    below = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, related_name="above")


class Placement(models.Model):
    shelf = models.ForeignKey(Shelf, on_delete=models.CASCADE)
    book = models.ForeignKey(Book, on_delete=models.CASCADE)
    position = models.IntegerField(default=0)


class Writer(models.Model):
    """An unmanaged model of a table that another made."""

    name = models.CharField(max_length=100)

    class Meta:
        managed = False
        db_table = "library_author"


class Member(models.Model):
    """Swapped out, as ``auth.User`` is where a project has its own."""

    name = models.CharField(max_length=100)

    class Meta:
        swappable = "LIBRARY_MEMBER_MODEL"


class Seat(models.Model):
    pk = models.CompositePrimaryKey("row", "number")
    row = models.CharField(max_length=2)
    number = models.IntegerField()
    taken_by = models.CharField(max_length=100, default="")


class NoteQuerySet(models.QuerySet["Note"]):
    def signed(self) -> Self:
        return self.exclude(signed_by="")


class Note(models.Model):
    """Overrides whatever can be overridden."""

    text = models.CharField(max_length=100)
    signed_by = models.CharField(max_length=100, default="")

    objects = NoteQuerySet.as_manager()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if isinstance(self.__dict__.get("signed_by"), str):
            self.signed_by = self.signed_by.strip()
        self.seen = ["__init__"]

    @classmethod
    def from_db(cls, db: Any, field_names: Any, values: Any, **kwargs: Any) -> "Note":
        instance = super().from_db(db, field_names, values, **kwargs)
        instance.seen.append("from_db")
        return instance

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.text = self.text.strip()
        super().save(*args, **kwargs)
        self.seen.append("save")

    def refresh_from_db(self, *, using: Any = None, fields: Any = None, **kwargs: Any) -> None:
        super().refresh_from_db(using=using, fields=fields, **kwargs)
        self.seen.append("refresh_from_db")

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        del state["seen"]
        return state


class Token(models.Model):
    """As Django REST framework has it: the key is the secret."""

    key = models.CharField(primary_key=True, max_length=100)
    label = models.CharField(max_length=100, default="")


class Vault(models.Model):
    """Has secrets where projects have them: under their names, and in texts, addresses and JSON of harmless names."""

    password = models.CharField(max_length=200, default="")
    text = models.TextField(default="")
    address = models.URLField(max_length=2000, default="")
    details = models.JSONField(default=dict)
    labels = ArrayField(models.TextField(), default=list)
    opener = models.ForeignKey(Token, on_delete=models.SET_NULL, null=True)
    tokens = models.ManyToManyField(Token, related_name="vaults")


class Room(models.Model):
    """Its area is computed by the database."""

    width = models.IntegerField()
    length = models.IntegerField()
    area = models.GeneratedField(
        expression=models.F("width") * models.F("length"), output_field=models.IntegerField(), db_persist=True
    )


class Topic(models.Model):
    """Goes with the topic above it."""

    name = models.CharField(max_length=100, default="")
    above = models.ForeignKey("self", on_delete=models.CASCADE, null=True)


class Saga(models.Model):
    name = models.CharField(max_length=100, default="")


class Sequel(Saga):
    """Goes with the saga that it continues, and is one itself."""

    of = models.ForeignKey(Saga, on_delete=models.CASCADE, related_name="sequels")


class Country(models.Model):
    code = models.CharField(max_length=2, unique=True)
    name = models.CharField(max_length=100, default="")


class Publisher(models.Model):
    """Points to something else than a primary key."""

    name = models.CharField(max_length=100, default="")
    country = models.ForeignKey(Country, to_field="code", on_delete=models.CASCADE, null=True)


class DearQuerySet(models.QuerySet["Dear"]):
    def update(self, **kwargs: Any) -> int:
        return super().update(price=1, **kwargs)


class Dear(models.Model):
    """Writes more than it is asked to."""

    name = models.CharField(max_length=100, default="")
    price = models.IntegerField(default=0)

    objects = DearQuerySet.as_manager()


class Lines:
    """Drawn lines, of which nobody can say whether two are equal, as of arrays of numbers."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __eq__(self, other: object) -> bool:
        raise ValueError("ambiguous")

    __hash__ = object.__hash__


class LinesField(models.TextField):
    def from_db_value(self, value: str, *_: Any) -> Lines:
        return Lines(value)

    def get_prep_value(self, value: Any) -> str:
        return value.text if isinstance(value, Lines) else str(value)


class Sketch(models.Model):
    lines = LinesField()


class Memo(models.Model):
    """Loads less than it is asked to."""

    name = models.CharField(max_length=100, default="")
    draft = models.CharField(max_length=100, default="")

    def refresh_from_db(self, using: Any = None, fields: Any = None, from_queryset: Any = None) -> None:
        super().refresh_from_db(using=using, fields=["name"] if fields is None else fields)


class Form(models.Model):
    """Its columns hold other values than they are given."""

    answers = models.JSONField(default=dict, encoder=DjangoJSONEncoder)
    sent_from = models.GenericIPAddressField(null=True)
    sent_at = models.DateTimeField(null=True)


class Cover(models.Model):
    """Nothing of it can change in place, but its file."""

    drawing = models.FileField(null=True)

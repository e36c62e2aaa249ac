"""The models of a library, abstract: each app of the test makes them its own, to be captured in another mode."""

from typing import Any

from django.db import models


class Publisher(models.Model):
    name = models.CharField(max_length=100)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return str(self.pk)  # auditlog tells relations by text, and nothing else


class Genre(models.Model):
    name = models.CharField(max_length=100)
    parent = models.ForeignKey("Genre", on_delete=models.CASCADE, null=True, related_name="children")

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return str(self.pk)


class Author(models.Model):
    name = models.CharField(max_length=100)
    born = models.IntegerField(null=True)
    changed_at = models.DateTimeField(auto_now=True)
    mentor = models.ForeignKey("Author", on_delete=models.SET_NULL, null=True, related_name="students")
    friends = models.ManyToManyField("self")
    likes = models.ManyToManyField("Genre", through="Liking", related_name="fans")

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return str(self.pk)


class Liking(models.Model):
    author = models.ForeignKey("Author", on_delete=models.CASCADE)
    genre = models.ForeignKey("Genre", on_delete=models.CASCADE)
    strength = models.IntegerField(default=1)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return str(self.pk)


class Book(models.Model):
    title = models.CharField(max_length=100)
    author = models.ForeignKey("Author", on_delete=models.CASCADE, null=True, related_name="books")
    publisher = models.ForeignKey("Publisher", on_delete=models.SET_NULL, null=True, related_name="books")
    price = models.DecimalField(max_digits=8, decimal_places=2, default="9.90")
    details = models.JSONField(default=dict, null=True)
    pages = models.IntegerField(null=True)
    bought_at = models.DateTimeField(null=True)
    edition = models.IntegerField(db_default=1)
    genres = models.ManyToManyField("Genre", related_name="books")

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return str(self.pk)


class Audiobook(models.Model):
    """A child with a table of its own, of its app's `Book`."""

    narrator = models.CharField(max_length=100, default="")
    minutes = models.IntegerField(null=True)

    class Meta:
        abstract = True


def declared(module: str) -> dict[str, type[models.Model]]:
    """Return the models of an app, by name, as if ``module`` declared them."""

    def declare(name: str, *bases: type[models.Model], **members: Any) -> type[models.Model]:
        return type(name, bases, {"__module__": module, **members})

    found = {base.__name__: declare(base.__name__, base) for base in (Publisher, Genre, Author, Liking, Book)}
    found["Audiobook"] = declare("Audiobook", Audiobook, found["Book"])
    found["Novel"] = declare("Novel", found["Book"], Meta=type("Meta", (), {"proxy": True}))
    return found

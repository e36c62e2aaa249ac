"""A library: the models that the emitter's tests save, change and delete."""

import uuid

from django.conf import settings
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

"""A store: models that every database can hold."""

from django.db import models


class Item(models.Model):
    name = models.CharField(max_length=100, unique=True)
    price = models.IntegerField(default=0)


class Box(models.Model):
    name = models.CharField(max_length=100, default="")
    items = models.ManyToManyField(Item, related_name="boxes")
    inside = models.ForeignKey("self", on_delete=models.CASCADE, null=True)

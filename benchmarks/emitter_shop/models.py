"""The model that every contender watches: ten fields, one of a kind. The contender's settings say who watches."""

from django.conf import settings
from django.db import models


class Product(models.Model):
    name = models.CharField(max_length=100)

    def __str__(self) -> str:
        return self.name


class Order(models.Model):
    number = models.CharField(max_length=40)
    note = models.TextField()
    quantity = models.IntegerField()
    price = models.DecimalField(max_digits=10, decimal_places=2)
    placed_at = models.DateTimeField()
    due_on = models.DateField()
    paid = models.BooleanField(default=False)
    weight = models.FloatField()
    product = models.ForeignKey(Product, on_delete=models.PROTECT)
    options = models.JSONField(default=dict)

    def __str__(self) -> str:
        return self.number


settings.LIBRARY.register(Order)

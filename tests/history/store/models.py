"""One model with a field of each kind that histories write in a way of their own, and some that are private."""

from decimal import Decimal
from typing import Any

import pghistory
import pgtrigger
from auditlog.registry import auditlog
from django.db import models
from simple_history import register


class Tag(models.Model):
    name = models.CharField(max_length=50)

    def __str__(self) -> str:
        return self.name


class Customer(models.Model):
    name = models.CharField(max_length=50)
    password = models.CharField(max_length=100)
    diagnosis = models.TextField(default="")  # secret by HELIOGRAPH_MASK_NAMES


class Order(models.Model):
    number = models.CharField(max_length=40, unique=True)
    status = models.CharField(max_length=20, default="new")
    remark = models.CharField(max_length=200, null=True)
    quantity = models.IntegerField(default=1)
    price = models.DecimalField(max_digits=10, decimal_places=2, default=Decimal("0.00"))
    weight = models.FloatField(default=0.5)
    paid = models.BooleanField(default=False)
    placed_at = models.DateTimeField(null=True)
    due_on = models.DateField(null=True)
    options = models.JSONField(default=dict)
    notes = models.TextField(default="")  # left out by HELIOGRAPH_EXCLUDE_FIELDS
    customer = models.ForeignKey(Customer, models.CASCADE, null=True)
    tags: Any = models.ManyToManyField(Tag)

    def __str__(self) -> str:
        return self.number


class Draft(models.Model):
    """Left out by HELIOGRAPH_EXCLUDE_MODELS."""

    text = models.TextField()


class Key(models.Model):
    """Its own primary key is a secret."""

    token = models.CharField(max_length=50, primary_key=True)
    label = models.CharField(max_length=50)


for model in (Tag, Customer, Draft, Key):
    auditlog.register(model)
    register(model)
    pghistory.track(pghistory.InsertEvent(), pghistory.UpdateEvent(), pghistory.DeleteEvent())(model)
auditlog.register(Order, m2m_fields={"tags"})
register(Order, m2m_fields=[Order.tags.field])
pghistory.track(
    pghistory.InsertEvent(),
    pghistory.UpdateEvent(),
    pghistory.UpdateEvent("old", row=pghistory.Old, condition=pgtrigger.Q(new__number="never")),
    pghistory.DeleteEvent(),
    pghistory.ManualEvent("shown"),
)(Order)

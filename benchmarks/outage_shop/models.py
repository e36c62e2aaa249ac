"""What a request saves, where it saves anything."""

from django.db import models


class Order(models.Model):
    number = models.IntegerField()
    customer = models.CharField(max_length=100)
    is_paid = models.BooleanField(default=False)

    def __str__(self) -> str:
        return str(self.number)

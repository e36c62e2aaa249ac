from django.conf import settings
from django.db import models


class Tag(models.Model):
    name = models.SlugField(unique=True)

    def __str__(self) -> str:
        return self.name


class Order(models.Model):
    customer = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="orders")
    article = models.CharField(max_length=100)
    total = models.DecimalField(max_digits=8, decimal_places=2)
    status = models.CharField(max_length=10, default="new")
    tags = models.ManyToManyField(Tag, related_name="orders")
    placed_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.article} ({self.status})"

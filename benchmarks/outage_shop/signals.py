from django.dispatch import Signal

packed = Signal()

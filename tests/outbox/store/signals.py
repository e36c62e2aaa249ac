from django.dispatch import Signal

sold = Signal()

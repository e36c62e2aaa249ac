from django.dispatch import Signal

order_paid = Signal()
"""An order was paid. Arguments: ``order``, ``amount``."""

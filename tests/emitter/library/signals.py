from django.dispatch import Signal

book_lent = Signal()

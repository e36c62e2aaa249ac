"""The client project of `tests.history.settings` as a process of its own: ``python -m tests.history.client COMMAND …``.

``make N`` makes its tables and has N orders made and paid in it, of which the packages take note; all else is what
``manage.py`` takes.
"""

import os
import sys

import django
from django.core.management import call_command, execute_from_command_line


def make(number: int) -> None:
    from tests.history.store.models import Order

    call_command("migrate", run_syncdb=True, verbosity=0)
    install()
    for each in range(number):
        order = Order.objects.create(number=str(each))
        order.status, order.paid = "paid", True
        order.save()


def install() -> None:
    """Complete the tables with what migrations of pghistory would install."""
    import pgtrigger
    from pghistory.models import Context

    Context.install_pgh_attach_context_func()
    pgtrigger.install()


def main() -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.history.settings"
    if sys.argv[1] == "make":
        django.setup()
        make(int(sys.argv[2]))
    else:
        execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()

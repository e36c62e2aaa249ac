"""The shop as a WSGI and as an ASGI application. With MARK_IMPORT, importing it captures an event."""

import os

from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application

application = get_wsgi_application()
asgi_application = get_asgi_application()

if os.environ.get("MARK_IMPORT"):
    from tests.processes.shop import operations

    operations.mark("import")

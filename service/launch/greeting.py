"""What a start tells whoever made it."""

import os
import sys
from datetime import UTC, datetime

from service.launch.web import Address
from service.projects.operations import FirstStart

READY = """
Heliograph is ready at {url}

  API, to try in the browser   {url}/api/v1/docs/
  Admin                        {url}/admin/
  Data                         {data}
"""

FIRST = """
This first start made a project ({project}), a key of it and an admin user. They are shown once:

  HELIOGRAPH_URL={url}
  HELIOGRAPH_KEY={key}

  {username}, password {password}

Once it is ready, send an event:

  curl {url}/api/v1/events/ -H "Authorization: Bearer {key}" -H "Content-Type: application/json" \\
    -d '{{"specversion": "1.0", "id": "1", "time": "{time}", "source": "/curl", "type": "greeting"}}'

And read it: open {url}/api/v1/docs/, press Authorize, paste the key.
"""

LATER = """
  Another key                  {manage} create_key default --scopes events:write,events:read
  Another password             {manage} changepassword admin
"""


def first(address: Address, made: FirstStart) -> str:
    """Return the words that show the secrets which the first start ``made``."""
    return FIRST.format(
        url=address.url,
        project=made.project,
        key=made.key,
        username=made.username,
        password=made.password,
        time=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def ready(address: Address, *, data: str, is_first: bool) -> str:
    """Return the words for a service that is ready at ``address``."""
    later = "" if is_first else LATER.lstrip("\n").format(manage=_manage())
    return READY.format(url=address.url, data=data) + later + "\nCtrl-C stops it.\n"


def _manage() -> str:
    """Return how to run manage.py from here with this interpreter."""
    python = os.path.relpath(sys.executable)
    return f"{sys.executable if python.startswith('..') else python} manage.py"

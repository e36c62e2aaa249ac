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

Send an event:

  curl {url}/api/v1/events/ -H "Authorization: Bearer {key}" -H "Content-Type: application/json" \\
    -d '{{"specversion": "1.0", "id": "1", "time": "{time}", "source": "/curl", "type": "greeting"}}'

And read it: open {url}/api/v1/docs/, press Authorize, paste the key.
"""

LATER = """
  Another key                  {manage} create_key default --scopes events:write,events:read
  Another password             {manage} changepassword admin
"""


def text(address: Address, *, data: str, made: FirstStart | None) -> str:
    """Return the words for a start at ``address``, with the secrets if it was the first one and ``made`` them."""
    ready = READY.format(url=address.url, data=data)
    if made is None:
        return ready + LATER.lstrip("\n").format(manage=_manage()) + "\nCtrl-C stops it.\n"
    first = FIRST.format(
        url=address.url,
        project=made.project,
        key=made.key,
        username=made.username,
        password=made.password,
        time=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    return ready + first + "\nCtrl-C stops it.\n"


def _manage() -> str:
    """Return how to run manage.py from here with this interpreter."""
    python = os.path.relpath(sys.executable)
    return f"{sys.executable if python.startswith('..') else python} manage.py"

"""Values that packages wrote as Python shows them."""

import ast
import json
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.db.models import JSONField
from django.utils.dateparse import parse_datetime

from emitter.history.told import Told


def read(each: Told, value: Any) -> Any:
    """Return what a text stands for in a field: "None" for none, where it isn't a text itself; times are of UTC."""
    if type(value) is not str:
        return value
    if value == "None" and (each.is_nullable or each.column.kind is not str):
        return None
    if each.column.kind is datetime:
        when = parse_datetime(value)
        return when.replace(tzinfo=UTC) if when is not None and settings.USE_TZ and when.tzinfo is None else value
    if isinstance(each.column.field, JSONField):
        return read_json(value)
    return value


def read_json(value: str) -> Any:
    """Return the value that stands in a text as JSON or as Python shows it; else the text."""
    try:
        return json.loads(value)
    except ValueError:
        pass
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return value

"""How a log line looks: for people, or one JSON object a line for programs. Each says which request it belongs to."""

import json
import logging
from datetime import UTC, datetime
from typing import Any

from service.api import calls


class LineFormatter(logging.Formatter):
    """Time, level, logger and message on one line, and the request's id if there is one."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging's name
        line = super().formatMessage(record)
        call = calls.current()
        return line if call is None else f"{line} [{call.request_id}]"


class JsonFormatter(logging.Formatter):
    """One object a line; what isn't known of a line is left out."""

    def format(self, record: logging.LogRecord) -> str:
        members: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **told_of(calls.current()),
        }
        if record.exc_info:
            members["exception"] = self.formatException(record.exc_info)
        return json.dumps(members, ensure_ascii=False, default=str)


def told_of(call: calls.Call | None) -> dict[str, Any]:
    if call is None:
        return {}
    known = {
        "request_id": call.request_id,
        "method": call.method,
        "route": call.route,
        "status": call.status,
        "duration_ms": round(call.duration * 1000, 1),
        "project": call.project,
        "key": call.key,
        "user": call.user,
    }
    return {name: value for name, value in known.items() if value not in {None, "", 0}}

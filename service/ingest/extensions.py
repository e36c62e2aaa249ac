"""CloudEvents attributes that have no column: kept and returned (CloudEvents spec §3.1)."""

import binascii
import re
from base64 import b64decode
from typing import Annotated

import msgspec
from msgspec import Meta, Raw

from service.api import limits
from service.api.inspection import Fault, RefusedError

NAME = re.compile(r"[a-z0-9]{1,64}")
VALUE = msgspec.json.Decoder(str | bool | Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None)
OURS = frozenset({"recordedtime", "recordedid"})  # set by the service; what a client says of them is dropped


def read(members: dict[str, Raw], has_data: bool) -> dict[str, object]:
    """Return the values of unknown attributes; raise `RefusedError` for what CloudEvents doesn't allow as one."""
    if len(members) > limits.EXTENSIONS:
        raise RefusedError(Fault("", "too_many_extensions", f"{limits.EXTENSIONS} extension attributes at the most."))
    kept = {name: value_of(name, raw) for name, raw in members.items() if name not in OURS}
    if kept.get("data_base64") is not None:
        check_base64(kept["data_base64"], has_data)
    return {name: value for name, value in kept.items() if value is not None}


def value_of(name: str, raw: Raw) -> str | bool | int | None:
    if not NAME.fullmatch(name) and name != "data_base64":
        raise RefusedError(Fault(name, "invalid_attribute_name", "Attribute names are made of a-z and 0-9."))
    try:
        value: str | bool | int | None = VALUE.decode(raw)
    except msgspec.ValidationError as error:
        raise RefusedError(
            Fault(name, "invalid", "An extension is a string, a boolean or a 64-bit integer.")
        ) from error
    return value


def check_base64(value: object, has_data: bool) -> None:
    if has_data:
        raise RefusedError(Fault("data_base64", "invalid", "An event has data or data_base64, not both."))
    try:
        b64decode(str(value).encode() if isinstance(value, str) else b"-", validate=True)
    except binascii.Error as error:
        raise RefusedError(Fault("data_base64", "invalid", f"It is not Base64: {error}.")) from error

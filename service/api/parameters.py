"""Query parameters: an unknown or unusable one is an error, since ignoring it would answer another question."""

from collections.abc import Callable, Collection, Mapping, Sequence
from urllib.parse import unquote_to_bytes

from django.conf import settings
from django.http import HttpRequest, HttpResponse, QueryDict

from service.api import problems
from service.api.problems import Problem


class BadParameter(Problem):
    title = "A query parameter can't be used"

    def __init__(self, name: str, detail: str, code: str = "invalid_parameter") -> None:
        super().__init__(code, detail, errors=[{"field": name, "code": code, "detail": detail}])


class BadParameters(Problem):
    """``faults`` maps a parameter's name to what is wrong with it."""

    title = "Query parameters can't be used"

    def __init__(self, faults: Mapping[str, Sequence[str]]) -> None:
        errors = [
            {"field": name, "code": "invalid_parameter", "detail": detail}
            for name, details in faults.items()
            for detail in details
        ]
        named = "; ".join(f"{error['field']}: {error['detail']}" for error in errors)
        super().__init__("invalid_parameter", named, errors=errors)


class QueryMiddleware:
    """Refuse a query string of which Django would make other parameters than it has, or an error with a traceback."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        fault = fault_of(request.META.get("QUERY_STRING", ""))
        if fault is not None:
            return problems.plain(400, "The query string can't be read", "bad_request", fault)
        return self.get_response(request)


def fault_of(query: str) -> str | None:
    """Return what is wrong with a query string as WSGI has it: bytes, taken for Latin-1."""
    most = settings.DATA_UPLOAD_MAX_NUMBER_FIELDS
    if query.count("&") >= most:
        return f"There are more than {most} query parameters."
    try:
        unquote_to_bytes(query.encode("latin-1")).decode()
    except UnicodeDecodeError:
        return "The query string holds bytes that are not UTF-8."
    return None


def check_parameters(parameters: QueryDict, known: Collection[str]) -> None:
    """Raise `BadParameter` for a name that isn't in ``known``, or that is given twice or empty."""
    for name, values in parameters.lists():
        if name not in known:
            others = f"Known: {', '.join(sorted(known))}." if known else "None is known here."
            raise BadParameter(name, f"There is no parameter {name!r}. {others}", "unknown_parameter")
        if len(values) > 1:
            raise BadParameter(name, f"{name} is given {len(values)} times; give it once.")
        if not values[0]:
            raise BadParameter(name, f"{name} is empty; give it a value or leave it out.")


def choice(parameters: QueryDict, name: str, known: Collection[str], default: str) -> str:
    """Return the value of a parameter that has few, ``default`` where it isn't given."""
    text = str(parameters.get(name, default))
    if text != default and text not in known:
        raise BadParameter(name, f"{name} must be one of {', '.join(known)}.")
    return text


def is_set(parameters: QueryDict, name: str) -> bool:
    return choice(parameters, name, ("false", "true"), "false") == "true"


def whole_number(parameters: QueryDict, name: str, least: int, most: int, default: int) -> int:
    text = str(parameters.get(name, default))
    if text.isascii() and text.isdecimal() and len(text) < 10 and least <= int(text) <= most:
        return int(text)
    raise BadParameter(name, f"{name} must be a whole number from {least} to {most}.")

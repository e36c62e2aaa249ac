"""The references of the service say what the code does."""

import re
from pathlib import Path

import pytest

from service.api.pagination import CursorPagination, IdPagination
from service.events import grammar
from service.telemetry.filters import EmitterFilter

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("section", "filters"),
    [
        ("Asking", {*grammar.FIELDS, grammar.DATA_PATH, grammar.SEARCH, *IdPagination.parameters}),
        ("Emitters", {*EmitterFilter.base_filters, *CursorPagination.parameters}),
    ],
)
def test_every_filter_is_documented_and_no_other_is(section: str, filters: set[str]) -> None:
    text = (ROOT / "docs" / "reference" / "http-api.md").read_text()
    table = text.partition(f"## {section}\n")[2].partition("\n## ")[0].partition("| parameter |")[2]

    rows = re.findall(r"^\| ((?:`[\w.<>]+`(?:, )?)+) \|", table, re.MULTILINE)

    documented = {name for row in rows for name in re.findall(r"[\w.<>]+", row)}
    assert documented == filters


def test_the_filters_that_have_an_index_are_told() -> None:
    text = (ROOT / "docs" / "reference" / "http-api.md").read_text()
    rows = re.findall(r"^\| ((?:`[\w.<>]+`(?:, )?)+) \|.*\| yes \|$", text, re.MULTILINE)

    assert {name for row in rows for name in re.findall(r"[\w.<>]+", row)} == set(grammar.indexed())


def test_every_environment_variable_is_documented_and_no_other_is() -> None:
    text = (ROOT / "docs" / "reference" / "service-settings.md").read_text()
    sources = [ROOT / "service" / "settings.py", *(ROOT / "service" / "launch").rglob("*.py")]

    read = {name for path in sources for name in re.findall(r'\benv\w*\(\s*"([A-Z_]+)"', path.read_text())}

    assert set(re.findall(r"^\| `([A-Z_]+)`", text, re.MULTILINE)) == read


def test_every_problem_code_is_documented() -> None:
    text = (ROOT / "docs" / "reference" / "http-api.md").read_text()
    apps = ("api", "front", "projects", "events", "telemetry", "access", "ingest")
    sources = [path for app in apps for path in (ROOT / "service" / app).rglob("*.py")]
    problems = (
        r"Unauthorized|Malformed|TooLarge|UnsupportedMedia|Unavailable|Forbidden|TooDeep|RateLimited|KeyEnded|Conflict"
    )
    problems += r"|super\(\)\.__init__"
    raised = rf'(?:Fault\(\s*[^,]+,|(?:{problems})\()\s*"(\w+)"'

    codes = {code for path in sources for code in re.findall(raised, path.read_text())}

    assert len(codes) > 20
    assert {code for code in codes if f"`{code}`" not in text} == set()

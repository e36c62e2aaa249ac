"""The reference says what the code does: every setting is documented, and every documented one exists."""

import re
from pathlib import Path
from typing import get_type_hints

import emitter
from emitter import checks
from emitter.conf import all_settings
from emitter.middleware import HeliographMiddleware
from emitter.selection import GROUPS, ON_REQUEST
from emitter.testing import captured_events

REFERENCE = (Path(__file__).parents[2] / "docs" / "reference" / "emitter-settings.md").read_text()


def test_every_setting_is_documented_with_its_default_and_no_other_is() -> None:
    documented = dict(re.findall(r"^\| `(HELIOGRAPH_\w+)` \| (.+?) \|", REFERENCE, re.MULTILINE))

    real = {setting.name: repr(setting.default).replace("'", '"') for setting in all_settings()}
    worded = {"HELIOGRAPH_SOURCE"}  # whose default is worked out
    assert documented.keys() == real.keys()
    assert {name: text for name, text in documented.items() if name not in worded} == {
        name: f"`{text}`" for name, text in real.items() if name not in worded
    }


def test_every_signal_that_can_be_captured_is_documented() -> None:
    names = {*ON_REQUEST, *(name for group in GROUPS.values() for name in group)}

    assert {name for name in names if f"`{name}`" not in REFERENCE} == set()


def test_every_check_is_documented_and_no_other_is() -> None:
    pattern = r"heliograph\.[EWI]\d{3}"
    documented = re.findall(pattern, REFERENCE.partition("## Checks")[2])

    real = {*(setting.check_id for setting in all_settings()), *re.findall(pattern, Path(checks.__file__).read_text())}
    assert sorted(documented) == sorted(real)


def test_what_a_project_uses_is_eight_names_at_the_most_and_all_are_typed() -> None:
    public = [getattr(emitter, name) for name in emitter.__all__] + [captured_events, HeliographMiddleware.__init__]

    assert len(public) <= 8
    assert Path(emitter.__file__).with_name("py.typed").exists()
    assert all("return" in get_type_hints(each) for each in public)

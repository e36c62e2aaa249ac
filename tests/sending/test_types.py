"""What msgspec decodes into: it learns what a type is at its first use, and that must be no thread's.

A thread that decodes into the same type meanwhile crashes the process, and so does each child that is forked meanwhile.
A decoder made as its module is imported has learned it before either can be.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import emitter

MODULES = sorted(Path(emitter.__file__).parent.rglob("*.py"))


def calls(path: Path) -> Iterator[ast.Call]:
    return (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))


def name(call: ast.Call) -> str:
    return ast.unparse(call.func).rpartition(".")[2]


def test_nothing_is_decoded_into_a_type_but_by_a_decoder() -> None:
    learning = [
        f"{path.name}:{call.lineno}"
        for path in MODULES
        for call in calls(path)
        if name(call) in {"decode", "convert"} and any(keyword.arg == "type" for keyword in call.keywords)
    ]

    assert len(MODULES) > 50
    assert learning == []


def test_decoders_are_made_as_their_module_is_imported() -> None:
    made = [call for path in MODULES for call in calls(path) if name(call) == "Decoder"]
    at_import = [
        call
        for path in MODULES
        for statement in ast.parse(path.read_text()).body
        if isinstance(statement, ast.Assign)
        for call in ast.walk(statement)
        if isinstance(call, ast.Call) and name(call) == "Decoder"
    ]

    assert len(at_import) == len(made) > 5

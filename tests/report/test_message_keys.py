"""No command asks for a sentence that does not exist, in whatever way it makes the key."""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import get_args

import prunescope
from prunescope.analysis.checks import check
from prunescope.report import messages
from prunescope.report.verify import GROUPS

ROOT = Path(prunescope.__file__).parent
ROOMS = [import_module(f"{messages.__name__}.{m.name}") for m in iter_modules(messages.__path__)]
KEYS = {key for room in ROOMS for key in room.MESSAGES}


def calls() -> list[ast.expr]:
    """The key of every `say(…)`; of `a if … else b` both."""
    found: list[ast.expr] = []
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and node.args:
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                if name in ("say", "_say"):
                    key = node.args[0]
                    found += [key.body, key.orelse] if isinstance(key, ast.IfExp) else [key]
    return found


def literals(name: str, place: int) -> set[str]:
    """Strings that stand at this place of the calls of `name`."""
    return {
        argument.value
        for path in (ROOT / "analysis").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == name
        for argument in node.args[place : place + 1]
        if isinstance(argument, ast.Constant)
    }


# What may stand in the braces of each key that is put together, from where it is defined.
PARTS = {
    "check_{}": literals("judged", 1) | literals("_engine", 0),
    "source_{}": set(get_args(check.Source)),
    "verdict_{}": set(get_args(check.Verdict)),
    "verify_{}": {*GROUPS, "verdict", "check", "layers", "found"},
    "why_{}": literals("finding", 1),
}


def test_every_key_that_is_asked_for_exists() -> None:
    asked = {key.value for key in calls() if isinstance(key, ast.Constant)}

    assert len(asked) > 150
    assert asked <= KEYS


def test_every_key_that_is_put_together_exists_whatever_it_is_made_of() -> None:
    made = set()
    for key in calls():
        if isinstance(key, ast.JoinedStr):
            parts = [p.value if isinstance(p, ast.Constant) else "{}" for p in key.values]
            made.add("".join(map(str, parts)))

    # A new kind of key says here what it can be made of.
    assert made == set(PARTS)
    for form, parts in PARTS.items():
        assert parts, form
        assert {form.format(part) for part in parts} <= KEYS

"""Every message that anything in the house can send has words (rules.md 11.1)."""

import ast
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from billing import announcements
from bot.views import notices
from cloud.models import FindingKind

ROOT = Path(__file__).resolve().parents[2]
SPECIAL = {"deployment_ready", announcements.KIND}
"""Told by a screen, or by words that an administrator typed: `bot/notices.py`."""
FAMILIES = {"house_machine_{}": {f"house_machine_{kind.value}" for kind in FindingKind}}
"""Kinds that are put together when they are told."""


def emitted(source: str) -> Iterator[str]:
    """Kinds that a module tells: what may be handed to a function called …tell… and looks like a kind."""
    tree = ast.parse(source)
    names: dict[str, set[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    names.setdefault(target.id, set()).update(texts(node.value, {}))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and "tell" in ast.unparse(node.func).rpartition(".")[2]:
            for argument in node.args:
                yield from (text for text in texts(argument, names) if re.fullmatch(r"[a-z]+(_[a-z]+)+", text))


def texts(node: ast.expr, names: dict[str, set[str]]) -> set[str]:
    """Strings that an expression may be, as far as they stand in the module."""
    match node:
        case ast.Constant(value=str(text)):
            return {text}
        case ast.Name(id=name):
            return names.get(name, set())
        case ast.IfExp(body=body, orelse=other):
            return texts(body, names) | texts(other, names)
        case ast.JoinedStr(values=parts):
            made = [
                texts(part.value, names) if isinstance(part, ast.FormattedValue) else texts(part, names)
                for part in parts
            ]
            if all(made):
                return {"".join(chosen) for chosen in itertools.product(*made)}
            pattern = "".join("".join(found) if len(found) == 1 else "{}" for found in made)
            return FAMILIES.get(pattern, set())
        case _:
            return set()


def test_every_kind_that_is_told_has_words() -> None:
    known = set(notices.WORDS) | SPECIAL
    told = {
        kind: path.relative_to(ROOT)
        for folder in ("billing", "cloud", "bot")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if not {"demo", "drivers"} & set(path.parts)
        for kind in emitted(path.read_text())
    }
    assert len(told) > 30
    assert not {kind: path for kind, path in told.items() if kind not in known}


@pytest.mark.parametrize(
    ("source", "kinds"),
    [
        ("await outbox.tell(session, customer, 'new_thing', {'a': 'b'}, now=now)", {"new_thing"}),
        ("KIND = 'of_module'\nawait _tell_house(session, row, KIND, now)", {"of_module"}),
        ("tell(f'house_machine_{kind.value}')", FAMILIES["house_machine_{}"]),
        ("kind = 'was_won' if won else 'was_lost'\ntell_house(f'house_{kind}')", {"house_was_won", "house_was_lost"}),
        ("other('not_told')", set()),
    ],
)
def test_kinds_are_found_in_sources(source: str, kinds: set[str]) -> None:
    assert set(emitted(source)) == kinds

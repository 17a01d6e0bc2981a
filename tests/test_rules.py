"""The rules of money from settlement to messages (6 to 11): each is named by a test that would fail without it."""

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
RULES = {6: 9, 7: 5, 8: 4, 9: 6, 10: 5, 11: 2}
"""How many rules each chapter has."""
NUMBER = re.compile(r"(?<![\d.$])(\d+\.\d+)(?![\d%])")


def named() -> set[str]:
    """Numbers in the docstrings of test functions; a module that names a range says nothing of each."""
    found: set[str] = set()
    for path in TESTS.rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                found.update(NUMBER.findall(ast.get_docstring(node) or ""))
    return found


@pytest.mark.parametrize("chapter", RULES)
def test_every_rule_has_a_test_that_names_it(chapter: int) -> None:
    assert {f"{chapter}.{number + 1}" for number in range(RULES[chapter])} - named() == set()

"""Every command that the documents show is run here, or is in a list that says why it cannot be."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.former import sample
from tests.operator.installation import ROOT

# How a command begins -> why it is not run by this test.
NOT_HERE = {
    "make demo": "tests/operator/test_clone.py types it",
    "make test": "this is it; tests/operator/test_clone.py types it",
    "make lint": "CI runs it",
    "make format": "would change the checkout",
    "make install": "tests/operator/test_clone.py types it",
    "make texts": "would change the checkout; tests/test_texts.py holds what it makes",
    "make backup": "tests/operator/test_clone.py types it",
    "make restore": "same",
    "apt-get": "changes the machine",
    "sudo": "changes the machine",
    "docker": "needs a container engine; CI builds the image",
    "git clone": "needs the network",
    "git pull": "needs the network",
    "curl": "needs the network",
    "DATABASE_URL=": "a line of .env",
    "#": "a remark",
    "cd ": "goes where the clone is",
    ".venv/bin/pytest": "a part of the tests",
    ".venv/bin/python -m bot doctor": "tests/test_doctor.py and tests/operator/test_operator.py",
    ".venv/bin/python -m bot move": "tests/test_main.py and tests/operator/test_operator.py",
}
RUNS_ON = ".venv/bin/python -m bot"
"""Alone it runs until it is stopped: tests/operator/test_operator.py."""
SETTINGS = {"BOT_TOKEN": "123456:a_token_of_nobodys", "STRIPE_API_KEY": "sk_test_nobodys", "COMPUTE": "simulated"}


def commands() -> list[tuple[str, list[str]]]:
    """Blocks of commands that can be run here, by their page, in the order of the pages."""
    found = []
    for page in sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]):
        for block in re.findall(r"^ *```sh\n(.*?)^ *```", page.read_text(), flags=re.MULTILINE | re.DOTALL):
            lines = [line.partition("  #")[0].strip() for line in block.splitlines() if line.strip()]
            here = [line for line in lines if line != RUNS_ON and not line.startswith(tuple(NOT_HERE))]
            if here:
                found.append((str(page.relative_to(ROOT)), here))
    return found


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that looks like a clone to those who type in it."""
    folder = tmp_path_factory.mktemp("clone")
    (folder / ".venv").symlink_to(ROOT / ".venv")
    for name in ("alembic", "billing", "bot", "cloud"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / ".env.example", folder)
    sample.write(folder / "former.db")
    migrate = [str(folder / ".venv/bin/python"), "-m", "bot", "migrate"]
    subprocess.run(migrate, cwd=folder, env={**os.environ, **SETTINGS}, check=True, capture_output=True)  # noqa: S603 ours
    return folder


@pytest.mark.parametrize(("page", "lines"), commands(), ids=lambda value: value if isinstance(value, str) else value[0])
def test_a_block_of_commands_works_as_it_stands(clone: Path, page: str, lines: list[str]) -> None:
    """On a populated folder without network: typed one after the other by a shell that stops at the first failure."""
    if any(line.startswith("sqlite3 ") for line in lines) and shutil.which("sqlite3") is None:
        pytest.skip("the sqlite3 command is missing: apt-get install sqlite3")
    if not (ROOT / ".venv/bin/python").exists():
        pytest.skip("there is no .venv: make install")
    environment = {**os.environ, **SETTINGS}
    script = "set -eu\n" + "\n".join(lines)
    result = subprocess.run(  # noqa: S603 commands of our own pages
        ["/bin/bash", "-c", script], cwd=clone, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, f"{page}: {script}\n{result.stderr}"


def test_reasons_are_still_needed() -> None:
    """A command that no page shows any more leaves the list."""
    text = "\n".join(page.read_text() for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
    shown = [line.strip() for line in text.splitlines()]
    unused = [begin for begin in NOT_HERE if not any(line.startswith(begin) for line in shown)]
    assert unused == []
    assert len(commands()) >= 5

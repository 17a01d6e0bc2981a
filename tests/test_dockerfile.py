"""The Dockerfile holds what a linter knows; tests/operator/test_image.py builds it."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def test_the_linter_finds_nothing() -> None:
    linter = Path(sys.executable).with_name("hadolint")
    if not linter.exists():
        pytest.skip("there is no hadolint for this machine")
    result = subprocess.run([linter, "Dockerfile"], cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603 ours
    assert result.returncode == 0, result.stdout


def test_the_linter_would_find_something(tmp_path: Path) -> None:
    linter = Path(sys.executable).with_name("hadolint")
    if not linter.exists():
        pytest.skip("there is no hadolint for this machine")
    shutil.copy(ROOT / "Dockerfile", tmp_path)
    with (tmp_path / "Dockerfile").open("a") as file:
        file.write("RUN cd /tmp && sudo ls\n")
    result = subprocess.run([linter, "Dockerfile"], cwd=tmp_path, capture_output=True, text=True, check=False)  # noqa: S603 ours
    assert "DL3004" in result.stdout


def test_all_that_is_copied_is_let_through() -> None:
    """What the image is made of is in .dockerignore's exceptions, and nothing else is."""
    lines = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    copied = {name for line in lines for name in line.split()}
    let_through = re.findall(r"^!([\w.]+)/?$", (ROOT / ".dockerignore").read_text(), flags=re.MULTILINE)
    assert copied == set(let_through)
    assert all((ROOT / name).exists() for name in copied)

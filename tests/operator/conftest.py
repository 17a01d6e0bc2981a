"""One installation for all who need one: making it takes half a minute."""

from pathlib import Path

import pytest

from tests.operator.installation import Installation, Missing, build, checked_out, install, newest_commit


@pytest.fixture(scope="session")
def commit() -> str:
    """What is committed now; more may be while the tests run."""
    try:
        return newest_commit()
    except Missing as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def source(commit: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean clone of it."""
    try:
        return checked_out(commit, tmp_path_factory.mktemp("clone") / "vmbot")
    except Missing as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its wheel."""
    try:
        return build(source, tmp_path_factory.mktemp("wheel"))
    except Missing as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """That wheel in an environment of its own."""
    folder = tmp_path_factory.mktemp("elsewhere")
    return install(wheel, folder / "environment", "demo", folder=folder)

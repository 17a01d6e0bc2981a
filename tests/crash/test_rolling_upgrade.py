"""A rolling upgrade: processes of the version before go on while the schema is the new one already.

The tests of flows of the commit before the newest migration are run as they stood, with one thing changed: where they
would bring a database to their own schema, this checkout does, to its. They do not ask whether it is theirs, as a
process does not that runs already; one that starts would refuse it (docs/operate.md).
"""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.operator.installation import ROOT, Missing, checked_out, environment, git

_FLOWS = ("tests/flows/test_order.py", "tests/flows/test_pay.py")
_SEVERAL = "tests/crash/test_replicas_live.py::test_two_processes_killed_in_turn_serve_everybody_once"
_PLUGIN = """
import asyncio, os, subprocess, sys
from bot import migrate, schema

async def upgrade(url: str, revision: str = "head") -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bot", "migrate", cwd=os.environ["NEW_CHECKOUT"], env=os.environ | {"DATABASE_URL": url}
    )
    assert await process.wait() == 0
    assert await migrate.state(url) is migrate.Schema.UNKNOWN

async def is_current(database: object) -> bool:
    return True

migrate.upgrade = upgrade
schema.is_current = is_current
"""


def before_the_newest_migration() -> str:
    """The commit before the newest migration came; the newest commit where it is not committed yet.

    Raises:
        Missing: there is no history that says.
    """
    versions = ROOT / "alembic" / "versions"
    newest = max(versions.glob("*.py"), key=lambda path: path.name).relative_to(ROOT)
    came = git("log", "--diff-filter=A", "--format=%H", "-1", "--", str(newest)).decode().strip()
    return git("rev-parse", "--verify", f"{came}^" if came else "HEAD").decode().strip()


@pytest.fixture
def version_before(tmp_path: Path) -> Path:
    """A folder with that commit's files."""
    try:
        return checked_out(before_the_newest_migration(), tmp_path / "before")
    except Missing as missing:
        pytest.skip(f"{missing}, or its history is cut off")


@pytest.mark.slow
@pytest.mark.parametrize("tests", [_FLOWS, (_SEVERAL,)], ids=["flows on SQLite", "several processes on PostgreSQL"])
def test_the_version_before_works_on_the_new_schema(version_before: Path, tests: tuple[str, ...]) -> None:
    theirs, ours = (
        {path.name for path in (checkout / "alembic" / "versions").glob("*.py")} for checkout in (version_before, ROOT)
    )
    assert theirs < ours
    (version_before / "new_schema.py").write_text(_PLUGIN)
    result = subprocess.run(  # noqa: S603 our own words
        [sys.executable, "-m", "pytest", "-q", "-p", "new_schema", "-p", "no:cacheprovider", *tests],
        cwd=version_before,
        env=environment({"NEW_CHECKOUT": str(ROOT), "PYTHONPATH": str(version_before)}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert " passed" in result.stdout

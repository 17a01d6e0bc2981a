"""Whether the database is at the newest schema, told without Alembic: a start seldom has anything to migrate.

Importing Alembic costs most of a second and 10 MB; `migrate.py` does it when there is something to do.
"""

import asyncio
import os
import re
import sys
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from billing.db import Database
from bot.settings import CannotStart

_REVISION = re.compile(r'^revision(?:: str)? = "(\w+)"$', re.MULTILINE)


def scripts() -> Path:
    """Return the folder of the migrations; they stand beside the packages, or in the wheel inside this one."""
    here = Path(__file__).resolve().parent
    return here / "alembic" if (here / "alembic").is_dir() else here.parent / "alembic"


def newest() -> str:
    """Return the newest revision: history is one line, and its files are named by date."""
    last = max((scripts() / "versions").glob("*.py"), key=lambda path: path.name)
    found = _REVISION.search(last.read_text())
    if found is None:
        raise LookupError(f"{last.name} names no revision")
    return found[1]


async def is_current(database: Database) -> bool:
    """Return whether a database is at the newest revision; one that cannot be asked is not."""
    try:
        async with database.read() as session:
            found = (await session.scalars(text("SELECT version_num FROM alembic_version"))).all()
    except (DBAPIError, OSError):
        return False
    return list(found) == [newest()]


async def make_current(database: Database) -> None:
    """Migrate an SQLite database in a process of its own; leave a server's to the operator.

    Raises:
        CannotStart: a PostgreSQL database is behind, a newer program was here, or the migration failed.
    """
    if not database.is_sqlite:
        from bot import migrate  # noqa: PLC0415 it imports Alembic

        await migrate.ensure_current(database)
        return
    url = database.url.render_as_string(hide_password=False)
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bot", "migrate", env={**os.environ, "DATABASE_URL": url}, stderr=asyncio.subprocess.PIPE
    )
    _, errors = await child.communicate()
    if child.returncode:
        raise CannotStart(errors.decode(errors="replace").strip().rpartition("\n")[2] or "the migration failed")

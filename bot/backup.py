"""A whole copy of the database while the program runs, and back: `python -m bot backup FILE`, `restore FILE`.

SQLite's is a database file; PostgreSQL's an archive of pg_dump. Both hold one state, that of an instant.
"""

import asyncio
import os
import shutil
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from sqlalchemy.engine import URL

from billing.db import Database
from bot import replicas
from bot.settings import CannotStart

_PAGES = 4096
"""So much is copied before writers have their turn."""
_BUSY_S = 60.0


class BackupFailed(CannotStart):
    """The copy could not be made or read; one line says why."""


async def save(database: Database, path: Path) -> None:
    """Write a copy into a file that only its owner reads; a file of that name is replaced when the copy is whole.

    Raises:
        BackupFailed: with the reason.
    """
    if database.is_sqlite and not await asyncio.to_thread(_file(database.url).is_file):
        where = _file(database.url)
        raise BackupFailed(f"there is nothing to copy: no file {where}; DATABASE_URL and DATA_DIR say where it is")
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    try:
        unfinished.touch(mode=0o600, exist_ok=False)
        if database.is_sqlite:
            await asyncio.to_thread(_copy, _file(database.url), unfinished)
        else:
            await _run("pg_dump", "--format=custom", f"--file={unfinished}", url=database.url)
        unfinished.replace(path)
    except (OSError, sqlite3.Error) as error:
        raise BackupFailed(f"the backup failed: {error}") from None
    finally:
        unfinished.unlink(missing_ok=True)


async def load(database: Database, path: Path) -> None:
    """Put a copy in the place of all that is in the database.

    Raises:
        BackupFailed: the file is none of ours or damaged, or the program still runs; nothing is changed.
    """
    if not await asyncio.to_thread(path.is_file):
        raise BackupFailed(f"{path}: there is no such file")
    living = await replicas.living(database)
    if living:
        raise BackupFailed("the program runs on this database; stop it first")
    try:
        if database.is_sqlite:
            await asyncio.to_thread(_copy, path, _file(database.url))
        else:
            how = ("--clean", "--if-exists", "--no-owner", "--single-transaction", "--exit-on-error")
            name = database.url.database or ""
            await _run("pg_restore", *how, f"--dbname={name}", str(path), url=database.url)
    except (OSError, sqlite3.Error) as error:
        raise BackupFailed(f"{path} was not restored: {error}") from None


def _file(url: URL) -> Path:
    return Path(url.database or "")


def _copy(source: Path, target: Path) -> None:
    """Copy one SQLite database over another, whoever writes into the source meanwhile."""
    with (
        closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True, timeout=_BUSY_S)) as old,
        closing(sqlite3.connect(target, timeout=_BUSY_S)) as new,
    ):
        _examine(old)
        old.backup(new, pages=_PAGES)
        new.execute("PRAGMA journal_mode=WAL" if target.suffix != ".unfinished" else "PRAGMA journal_mode=DELETE")
        _examine(new)


def _examine(database: sqlite3.Connection) -> None:
    """See that a database is whole, and one of this program."""
    (found,) = database.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise sqlite3.DatabaseError(f"it is damaged: {found}")
    if not database.execute("SELECT count(*) FROM sqlite_master WHERE name = 'alembic_version'").fetchone()[0]:
        raise sqlite3.DatabaseError("it is no database of this program")


async def _run(program: str, *arguments: str, url: URL) -> None:
    found = shutil.which(program)
    if found is None:
        raise BackupFailed(f"{program} is not installed (Debian: apt-get install postgresql-client)")
    process = await asyncio.create_subprocess_exec(
        found,
        "--no-password",
        *arguments,
        env={**os.environ, **_environment(url)},
        stdin=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await process.communicate()
    if process.returncode:
        raise OSError(errors.decode(errors="replace").strip().rpartition("\n")[2] or f"{program} failed")


def _environment(url: URL) -> Mapping[str, str]:
    """Return what PostgreSQL's own programs are told by their environment, where nobody else reads the password."""
    named = url.query.get("host", ())
    hosts = [named] if isinstance(named, str) else list(named)
    if hosts:
        names = [host.partition(":")[0] for host in hosts]
        ports = [host.partition(":")[2] or "5432" for host in hosts]
    else:
        names, ports = [url.host or "localhost"], [str(url.port or 5432)]
    given = {
        "PGHOST": ",".join(names),
        "PGPORT": ",".join(ports),
        "PGUSER": url.username,
        "PGPASSWORD": url.password,
        "PGDATABASE": url.database,
        "PGSSLMODE": url.query.get("ssl"),
        # Of several servers the one that can be written to.
        "PGTARGETSESSIONATTRS": "read-write" if len(names) > 1 else None,
    }
    return {name: str(value) for name, value in given.items() if value}

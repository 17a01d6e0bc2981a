"""Writes the initial migrations anew from the models: `.venv/bin/python alembic/initial.py`, until the first release.

The last one, written by hand, is left as it is: triggers, and the accounts of the house.
"""

import asyncio
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from alembic import command
from alembic.operations import ops
from sqlalchemy import Connection

import bot.models
import cloud.models
from billing.models import Base
from bot import migrate

HERE = Path(__file__).parent
DAY = "2026-11-22"
GROUPS = {
    "customers_and_sales": (
        "customers email_confirmations administrators audit_log prices quotes subscriptions intervals usage watermarks"
    ),
    "invoices_and_payments": (
        "invoices invoice_lines credit_notes credit_note_lines number_series cards payments payment_allocations "
        "checkouts provider_events settlement_wishes disputes refunds"
    ),
    "vouchers_and_ledger": "vouchers voucher_requests voucher_attempts accounts transfers",
    "machines_and_messages": "",
}
"""File -> its tables, each after those it refers to; the last takes all others."""
MODELS = (bot.models, cloud.models)


def only(tables: set[str]) -> Callable[..., bool]:
    return lambda _, name, kind, *__: kind != "table" or name in tables


def simplify(_: object, __: object, scripts: list[ops.MigrationScript]) -> None:
    """Leave out what dropping a table does by itself."""
    (script,) = scripts
    assert script.downgrade_ops is not None  # noqa: S101 autogenerate always gives it
    script.downgrade_ops.ops = [part for part in script.downgrade_ops.ops if isinstance(part, ops.DropTableOp)]


def generate(connection: Connection, folder: Path) -> None:
    left = set(Base.metadata.tables)
    for number, (name, listed) in enumerate(GROUPS.items(), start=1):
        tables = set(listed.split()) or set(left)
        if unknown := tables - left:
            sys.exit(f"not in the models: {', '.join(sorted(unknown))}")
        left -= tables
        config = migrate.config(connection)
        config.attributes["options"] = {
            "include_object": only(tables),
            "process_revision_directives": simplify,
            "render_as_batch": False,
        }
        config.set_main_option("script_location", str(folder))
        config.set_main_option("file_template", f"{DAY}-12{number:02d}_%%(slug)s")
        revision, previous = f"{number:04d}", f"{number - 1:04d}" if number > 1 else "base"
        message = name.replace("_", " ").capitalize()
        command.revision(config, message, autogenerate=True, head=previous, rev_id=revision)
        command.upgrade(config, revision)


async def write(folder: Path) -> None:
    async with migrate.locked(f"sqlite+aiosqlite:///{folder}/new.sqlite3") as connection:
        await connection.run_sync(generate, folder)


def main() -> None:
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        for path in (HERE / "env.py", HERE / "script.py.mako"):
            shutil.copy(path, folder)
        (folder / "versions").mkdir()
        asyncio.run(write(folder))
        for arguments in (["check", "--fix-only", "--quiet"], ["format", "--quiet"]):
            ruff = [Path(sys.executable).with_name("ruff"), *arguments, "--config", HERE.parent / "pyproject.toml"]
            subprocess.run([*ruff, folder / "versions"], check=True)  # noqa: S603 our own words
        replace(folder / "versions", HERE / "versions")


def replace(made: Path, kept: Path) -> None:
    """Replace only what differs: tests may be reading these files."""
    fresh = {path.name: path.read_text() for path in made.glob("*.py")}
    for name, text in fresh.items():
        target = kept / name
        if not target.exists() or target.read_text() != text:
            target.write_text(text)
    for number in range(1, len(GROUPS) + 1):
        for path in kept.glob(f"{DAY}-12{number:02d}_*.py"):
            if path.name not in fresh:
                path.unlink()


if __name__ == "__main__":
    main()

"""Writes the initial migrations anew from the models: `.venv/bin/python alembic/initial.py`, until the first release.

The last one, written by hand, is left as it is: triggers, and the accounts of the house.
"""

import asyncio
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

VERSIONS = Path(__file__).parent / "versions"
DAY = "2026-11-22"
BY_HAND = "house_and_append_only"
GROUPS = {
    "customers_and_sales": "customers administrators audit_log prices quotes subscriptions intervals usage watermarks",
    "invoices_and_payments": (
        "invoices invoice_lines credit_notes number_series cards payments payment_allocations checkouts "
        "provider_events settlement_wishes vouchers voucher_requests voucher_attempts"
    ),
    "ledger_and_clockwork": "accounts transfers notices job_runs month_runs",
    "machines_and_chat": "",
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


def generate(connection: Connection) -> None:
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
        config.set_main_option("file_template", f"{DAY}-12{number:02d}_%%(slug)s")
        previous = f"{number - 1:04d}" if number > 1 else "base"
        command.revision(
            config, name.replace("_", " ").capitalize(), autogenerate=True, head=previous, rev_id=f"{number:04d}"
        )
        command.upgrade(config, f"{number:04d}")


async def write() -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with migrate.locked(f"sqlite+aiosqlite:///{folder}/new.sqlite3") as connection:
            await connection.run_sync(generate)


def main() -> None:
    (by_hand,) = VERSIONS.glob(f"*_{BY_HAND}.py")
    kept = by_hand.read_text()
    for path in VERSIONS.glob(f"{DAY}-12*.py"):
        path.unlink()
    try:
        asyncio.run(write())
    finally:
        by_hand.write_text(kept)
    for arguments in (["check", "--fix-only", "--quiet"], ["format", "--quiet"]):
        ruff = Path(sys.executable).with_name("ruff")
        subprocess.run([ruff, *arguments, VERSIONS], check=True)  # noqa: S603 our own words


if __name__ == "__main__":
    main()

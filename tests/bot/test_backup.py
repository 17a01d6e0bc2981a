"""A copy made while people pay holds one state; restored, the books agree (`make backup`, `make restore`)."""

import asyncio
import shutil
from pathlib import Path

import pytest
from sqlalchemy import func, select

from billing import checks, ledger
from billing.db import Database
from billing.ledger import About, Side
from billing.models import AccountKind, Customer, Transfer
from billing.money import Currency
from bot import backup
from bot.__main__ import main
from bot.backup import BackupFailed
from bot.replicas import Membership
from tests.billing.builders import at, make_customer


@pytest.fixture(autouse=True)
def _tools(database: Database) -> None:
    if not database.is_sqlite and not (shutil.which("pg_dump") and shutil.which("pg_restore")):
        pytest.skip("PostgreSQL's programs are not installed")


async def pay_in(database: Database, number: int) -> None:
    """A customer and their money, in one transaction."""
    async with database.transaction() as session:
        customer = await make_customer(session)
        await ledger.transfer(
            session,
            operation=f"gift:{number}",
            debit=Side(AccountKind.CORRECTIONS),
            credit=Side(AccountKind.BALANCE, customer.id),
            amount=100,
            about=About("correction", note="test"),
            now=at("2026-01-10"),
        )


async def counts(database: Database) -> tuple[int, int]:
    async with database.read() as session:
        customers = await session.scalar(select(func.count()).select_from(Customer))
        return customers or 0, await session.scalar(select(func.count()).select_from(Transfer)) or 0


async def differences(database: Database) -> list[checks.Difference]:
    async with database.read() as session:
        return await checks.differences(session, currency=Currency.of("usd"))


async def test_a_copy_made_while_people_pay_is_one_state(database: Database, tmp_path: Path) -> None:
    file = tmp_path / "copy"
    stop = asyncio.Event()
    paid = 0

    async def keep_paying() -> None:
        nonlocal paid
        while not stop.is_set():
            await pay_in(database, paid)
            paid += 1

    paying = asyncio.create_task(keep_paying())
    while paid < 5:  # noqa: ASYNC110 nobody tells
        await asyncio.sleep(0.01)
    before = paid
    await backup.save(database, file)
    after = paid
    stop.set()
    await paying
    assert file.stat().st_mode & 0o777 == 0o600
    assert not file.with_name(".copy.unfinished").exists()
    for number in range(3):
        await pay_in(database, 1000 + number)
    await backup.load(database, file)
    customers, transfers = await counts(database)
    assert customers == transfers
    assert before <= customers <= after + 1
    assert await differences(database) == []
    await pay_in(database, 2000)  # it goes on from there
    assert await differences(database) == []


async def test_a_damaged_file_and_what_is_no_backup_change_nothing(database: Database, tmp_path: Path) -> None:
    await pay_in(database, 1)
    file = tmp_path / "copy"
    await backup.save(database, file)
    await pay_in(database, 2)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    for wrong in (file, tmp_path / "nothing", Path(__file__)):
        with pytest.raises(BackupFailed):
            await backup.load(database, wrong)
    assert await counts(database) == (2, 2)


async def test_nothing_is_restored_under_a_running_program(database: Database, tmp_path: Path) -> None:
    await backup.save(database, tmp_path / "copy")
    member = Membership(database)
    await member.beat()
    with pytest.raises(BackupFailed, match="stop it first"):
        await backup.load(database, tmp_path / "copy")
    await member.leave()
    await backup.load(database, tmp_path / "copy")


async def test_a_backup_that_fails_leaves_the_last_one(database: Database, tmp_path: Path) -> None:
    file = tmp_path / "copy"
    await backup.save(database, file)
    kept = file.read_bytes()
    nobody = Database(
        f"sqlite+aiosqlite:///{tmp_path}/none.sqlite3"
        if database.is_sqlite
        else database.url.set(database="nobody_has_it").render_as_string(hide_password=False)
    )
    with pytest.raises(BackupFailed):
        await backup.save(nobody, file)
    await nobody.close()
    assert file.read_bytes() == kept


def test_the_commands(tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """From an empty machine: what was saved on one comes back on another."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", sqlite_url)
    assert main(["backup", "copy"]) == 0
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/other/new.sqlite3")
    assert main(["restore", "copy"]) == 0
    assert main(["restore", "nothing"]) == 1
    assert main(["migrate"]) == 0


async def test_where_nothing_is_yet_a_backup_says_so(tmp_path: Path) -> None:
    """What a newcomer types first: one line that names the place, and no file."""
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'none' / 'vmbot.sqlite3'}")
    with pytest.raises(BackupFailed, match=r"no file .*vmbot\.sqlite3; DATABASE_URL and DATA_DIR"):
        await backup.save(database, tmp_path / "copy")
    await database.close()
    assert not (tmp_path / "copy").exists()

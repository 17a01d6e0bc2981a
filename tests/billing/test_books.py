"""The ledger as files: an accountant's own tool agrees that the books balance (issue 3.10, C16)."""

import csv
import io
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import func, select

from billing import accounts, books, credit_notes
from billing.clock import DAY, ManualClock
from billing.credit_notes import Credit
from billing.db import Database
from billing.models import Transfer
from billing.money import Currency
from tests.billing.shop import ASKS_ALWAYS
from tests.billing.till import Till, open_till

USD = Currency.of("usd")


@pytest.fixture
async def till(sqlite_database: Database, clock: ManualClock) -> AsyncIterator[Till]:
    async with open_till(sqlite_database, clock) as opened:
        yield opened


async def lively(till: Till) -> None:
    """Vouchers, cards, a split, a refund, a dispute, a top-up taken back, a payment that waits."""
    customer = await till.customer()
    await till.give(customer, voucher=300, balance=200)
    await till.add_card(customer)
    await till.work()
    invoice = await till.invoice(customer, 1000)
    await till.work()
    async with till.database.transaction() as session:
        locked = await accounts.lock(session, customer.id)
        credit = Credit("c", 700, 'said "no"\\ and\nleft', actor=1)
        await credit_notes.issue(session, locked, invoice.id, credit, currency=USD, now=till.clock.now())
    await till.pass_time(2 * DAY, step=DAY)
    other = await till.customer()
    payment = await till.top_up(other, 1000)
    await till.invoice(other, 600)
    await till.pass_time(timedelta(hours=1))
    dispute = till.stripe.control.dispute(payment.provider_id or "")
    await till.corrector.notice_dispute(dispute["id"])
    waits = await till.customer()
    await till.add_card(waits, ASKS_ALWAYS)
    await till.invoice(waits, 400)
    await till.work()
    await till.check()


def bean_check(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    path = folder / "ledger.beancount"
    path.write_text(text)
    tool = Path(sys.executable).with_name("bean-check")
    return subprocess.run([tool, path], capture_output=True, text=True, check=False)  # noqa: S603 our own file


async def beancount(till: Till) -> str:
    out = io.StringIO()
    async with till.database.read() as session:
        await books.write_beancount(session, out, USD)
    return out.getvalue()


async def test_bean_check_accepts_a_busy_ledger(till: Till, tmp_path: Path) -> None:
    await lively(till)
    text = await beancount(till)
    assert text.count(" balance ") >= 5
    done = bean_check(tmp_path, text)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


async def test_bean_check_refuses_a_ledger_that_lost_a_transfer(till: Till, tmp_path: Path) -> None:
    """The balances that we keep are in the file: the check can fail."""
    await lively(till)
    head, _, tail = (await beancount(till)).partition('"settle"')
    lost = head.rsplit("\n\n", 1)[0] + "\n\n" + tail.split("\n\n", 1)[1]
    assert bean_check(tmp_path, lost).returncode != 0


async def test_an_empty_ledger_is_a_file_too(till: Till, tmp_path: Path) -> None:
    assert bean_check(tmp_path, await beancount(till)).returncode == 0


async def test_csv_holds_every_transfer(till: Till) -> None:
    """Debits and credits by account are there for any spreadsheet; a person's words are no formula."""
    await lively(till)
    out = io.StringIO()
    async with till.database.read() as session:
        count = await books.write_csv(session, out, USD)
        assert count == await session.scalar(select(func.count()).select_from(Transfer))
    rows = list(csv.DictReader(io.StringIO(out.getvalue())))
    assert len(rows) == count
    moved = [row for row in rows if row["phase"] in ("posted", "post")]
    owed = sum(Decimal(row["amount"]) for row in moved if row["debit"].startswith("Assets:Receivable"))
    paid = sum(Decimal(row["amount"]) for row in moved if row["credit"].startswith("Assets:Receivable"))
    async with till.database.read() as session:
        customers = [await till.balances(await accounts.get(session, one)) for one in (1, 2, 3)]
    assert owed - paid == Decimal(sum(have.receivable for have in customers)) / 100
    assert {row["phase"] for row in rows} >= {"posted", "pending", "post"}
    assert books._tame("=1+1") == "'=1+1"

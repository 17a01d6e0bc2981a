"""The ledger for an accountant: CSV of every transfer, and a Beancount file that balances by itself (C16).

Both are made row by row, so that a ledger of any length fits into memory.
"""

import csv
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TextIO

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from billing.models import Account, AccountKind, Invoice, Phase, Transfer
from billing.money import Currency

COLUMNS = (
    "id",
    "at",
    "phase",
    "pending_id",
    "debit",
    "credit",
    "amount",
    "currency",
    "reason",
    "note",
    "actor",
    "invoice",
    "payment_id",
    "voucher_id",
    "operation",
)
_CHUNK = 5_000

_HOUSE = {
    AccountKind.REVENUE: "Income:Revenue",
    AccountKind.TAX: "Liabilities:Tax",
    AccountKind.VOUCHERS_ISSUED: "Expenses:Vouchers",
    AccountKind.CARD_CLEARING: "Assets:Clearing:Card",
    AccountKind.STARS_CLEARING: "Assets:Clearing:Stars",
    AccountKind.REFUNDS: "Liabilities:Refunds",
    AccountKind.CHARGEBACKS: "Assets:Clearing:Chargebacks",
    AccountKind.WRITE_OFF: "Expenses:Write-Off",
    AccountKind.CORRECTIONS: "Expenses:Corrections",
}
_CUSTOMER = {
    AccountKind.VOUCHER: "Liabilities:Voucher",
    AccountKind.BALANCE: "Liabilities:Balance",
    AccountKind.RECEIVABLE: "Assets:Receivable",
}
_MOVES = (Phase.POSTED, Phase.POST)


@dataclass(frozen=True, slots=True)
class _Entry:
    """A transfer with the number of the invoice that it is about."""

    row: Transfer
    invoice: str


def name_of(account: Account) -> str:
    """Return what an account is called in both files: `Assets:Receivable:C17`."""
    if account.customer_id is None:
        return _HOUSE[account.kind]
    return f"{_CUSTOMER[account.kind]}:C{account.customer_id}"


async def write_csv(session: AsyncSession, out: TextIO, currency: Currency) -> int:
    """Write every transfer, pending ones and what became of them too; return how many."""
    names = {account.id: name_of(account) for account in await session.scalars(select(Account))}
    table = csv.writer(out)
    table.writerow(COLUMNS)
    count = 0
    async for entry in _entries(session):
        row = entry.row
        table.writerow(
            (
                row.id,
                row.created_at.isoformat(),
                row.phase.value,
                row.pending_id,
                names[row.debit_id],
                names[row.credit_id],
                currency.plain(row.amount),
                currency.code.upper(),
                row.reason,
                _tame(row.note),
                row.actor,
                entry.invoice,
                row.payment_id,
                row.voucher_id,
                row.operation,
            )
        )
        count += 1
    return count


def _tame(text: str) -> str:
    """Return a person's words so that no spreadsheet takes them for a formula."""
    return f"'{text}" if text.lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else text


async def write_beancount(session: AsyncSession, out: TextIO, currency: Currency) -> int:
    """Write what moved money as Beancount, and return how many transfers.

    The balances that we keep of customers' accounts stand at the end as assertions: `bean-check` then holds them
    against the transfers.
    """
    first = await session.scalar(select(func.min(Transfer.created_at)))
    last = await session.scalar(select(func.max(Transfer.created_at)))
    code = currency.code.upper()
    out.write(f'option "title" "Ledger"\noption "operating_currency" "{code}"\n')
    if first is None or last is None:
        return 0
    accounts = (await session.scalars(select(Account).order_by(Account.id))).all()
    names = {account.id: name_of(account) for account in accounts}
    used = await _used(session)
    out.write("\n")
    for account in accounts:
        if account.id in used:
            out.write(f"{first:%Y-%m-%d} open {names[account.id]} {code}\n")
    count = 0
    async for entry in _entries(session, *_MOVES):
        out.write(_transaction(entry, names, currency))
        count += 1
    out.write("\n")
    for account in accounts:
        if account.id in used and account.posted is not None:
            out.write(_assertion(account, names[account.id], _day_after(last), currency))
    return count


async def _used(session: AsyncSession) -> set[int]:
    moved = Transfer.phase.in_(_MOVES)
    debits = await session.scalars(select(Transfer.debit_id).where(moved).distinct())
    credits_ = await session.scalars(select(Transfer.credit_id).where(moved).distinct())
    return {*debits, *credits_}


def _transaction(entry: _Entry, names: dict[int, str], currency: Currency) -> str:
    row, amount, code = entry.row, currency.plain(entry.row.amount), currency.code.upper()
    words = " ".join(part for part in (entry.invoice, row.note) if part)
    lines = [
        "",
        f'{row.created_at:%Y-%m-%d} * "{_quoted(row.reason)}" "{_quoted(words)}"',
        f'  transfer: "{row.id}"',
        f'  operation: "{_quoted(row.operation)}"',
        f"  {names[row.debit_id]}  {amount} {code}",
        f"  {names[row.credit_id]}  -{amount} {code}",
        "",
    ]
    return "\n".join(lines)


def _assertion(account: Account, name: str, day: date, currency: Currency) -> str:
    posted = account.posted or 0
    shown = currency.plain(posted)
    if posted and account.kind is not AccountKind.RECEIVABLE:
        shown = f"-{shown}"
    return f"{day} balance {name}  {shown} {currency.code.upper()}\n"


def _day_after(instant: datetime) -> date:
    """Return the day at whose beginning all that was booked is in the balances."""
    return instant.date() + timedelta(days=1)


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ").replace("\r", " ")


async def _entries(session: AsyncSession, *phases: Phase) -> AsyncIterator[_Entry]:
    last = 0
    while True:
        query = select(Transfer, Invoice.number).outerjoin(Invoice, Invoice.id == Transfer.invoice_id)
        if phases:
            query = query.where(Transfer.phase.in_(phases))
        rows: Sequence[tuple[Transfer, str | None]] = [
            (row[0], row[1])
            for row in await session.execute(query.where(Transfer.id > last).order_by(Transfer.id).limit(_CHUNK))
        ]
        for row, number in rows:
            yield _Entry(row, number or "")
        if len(rows) < _CHUNK:
            return
        last = rows[-1][0].id
        session.expunge_all()

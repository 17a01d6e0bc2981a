"""The ledger (rules.md 2)."""

import asyncio
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from billing import accounts, ledger
from billing.db import Database
from billing.errors import Conflict, InsufficientFunds
from billing.ledger import About, Side
from billing.models import Account, AccountKind, Phase, Transfer

NOW = datetime(2026, 1, 10, 12, tzinfo=UTC)
ISSUED = Side(AccountKind.VOUCHERS_ISSUED)
REVENUE = Side(AccountKind.REVENUE)


async def customer(session: AsyncSession, telegram_id: int = 7) -> int:
    row = await accounts.register(session, telegram_id=telegram_id, username="ann", name="Ann", language="en", now=NOW)
    return row.id


async def give(session: AsyncSession, to: int, amount: int, operation: str = "give") -> Transfer:
    return await ledger.transfer(
        session,
        operation=operation,
        debit=ISSUED,
        credit=Side(AccountKind.VOUCHER, to),
        amount=amount,
        about=About("redeem"),
        now=NOW,
    )


async def spend(session: AsyncSession, of: int, amount: int, operation: str, *, pending: bool = False) -> Transfer:
    return await ledger.transfer(
        session,
        operation=operation,
        debit=Side(AccountKind.VOUCHER, of),
        credit=REVENUE,
        amount=amount,
        about=About("settle"),
        now=NOW,
        pending=pending,
    )


async def test_the_same_operation_twice_is_one_transfer(database: Database) -> None:
    """rules.md 2.2: the second caller gets the first result."""
    async with database.transaction() as session:
        ann = await customer(session)
        first = await give(session, ann, 500)
    async with database.transaction() as session:
        again = await give(session, ann, 500)
        assert again.id == first.id
        assert (await ledger.balances(session, ann)).voucher == 500
        with pytest.raises(Conflict):
            await give(session, ann, 501)


async def test_no_account_of_a_customer_goes_below_zero(database: Database) -> None:
    """rules.md 2.3, and a caller that catches the refusal goes on without half of a transfer."""
    async with database.transaction() as session:
        ann = await customer(session)
        await give(session, ann, 500)
        with pytest.raises(InsufficientFunds):
            await spend(session, ann, 501, "too much")
        await spend(session, ann, 500, "all")
        assert (await ledger.balances(session, ann)).voucher == 0
        assert await session.scalar(select(func.count()).select_from(Transfer)) == 2


async def test_races_cannot_spend_twice(database: Database) -> None:
    async with database.transaction() as session:
        ann = await customer(session)
        await give(session, ann, 500)

    async def try_to_spend(number: int) -> bool:
        try:
            async with database.transaction() as session:
                await spend(session, ann, 300, f"race {number}")
        except InsufficientFunds:
            return False
        return True

    assert sum(await asyncio.gather(*(try_to_spend(number) for number in range(6)))) == 1


async def test_pending_money_is_reserved_and_resolved_once(database: Database) -> None:
    """rules.md 2.4."""
    async with database.transaction() as session:
        ann = await customer(session)
        await give(session, ann, 500)
        kept = await spend(session, ann, 200, "kept", pending=True)
        given_back = await spend(session, ann, 100, "given back", pending=True)
        assert (await ledger.balances(session, ann)).voucher == 200
        with pytest.raises(InsufficientFunds):
            await spend(session, ann, 201, "more than is free")
        posted = await ledger.post(session, kept, now=NOW)
        assert (await ledger.post(session, kept, now=NOW)).id == posted.id
        await ledger.void(session, given_back, now=NOW)
        with pytest.raises(Conflict):
            await ledger.void(session, kept, now=NOW)
        with pytest.raises(Conflict):
            await ledger.post(session, given_back, now=NOW)
        assert (await ledger.balances(session, ann)).voucher == 300


async def test_the_receivable_cannot_be_paid_twice(database: Database) -> None:
    """What a pending payment covers cannot be paid a second time."""
    async with database.transaction() as session:
        ann = await customer(session)
        receivable = Side(AccountKind.RECEIVABLE, ann)
        clearing = Side(AccountKind.CARD_CLEARING)
        about = About("settle")
        await ledger.transfer(
            session, operation="issue", debit=receivable, credit=REVENUE, amount=800, about=about, now=NOW
        )
        await ledger.transfer(
            session, operation="card", debit=clearing, credit=receivable, amount=800, about=about, now=NOW, pending=True
        )
        found = await ledger.balances(session, ann)
        assert (found.receivable, found.receivable_pending) == (800, 800)
        with pytest.raises(InsufficientFunds):
            await ledger.transfer(
                session, operation="again", debit=clearing, credit=receivable, amount=1, about=about, now=NOW
            )


acts = st.lists(st.tuples(st.sampled_from(["give", "spend", "hold", "post", "void"]), st.integers(1, 900)), max_size=25)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(acts=acts)
async def test_any_sequence_keeps_balances_equal_to_their_transfers(
    sqlite_database: Database, acts: list[tuple[str, int]]
) -> None:
    """rules.md 2.6, whatever is tried in whatever order."""
    async with sqlite_database.transaction() as session:
        count = await session.scalar(select(func.count()).select_from(Account))
        ann = await customer(session, telegram_id=1000 + (count or 0))
        held: list[Transfer] = []
        for number, (act, amount) in enumerate(acts):
            try:
                match act:
                    case "give":
                        await give(session, ann, amount, f"{ann} {number}")
                    case "spend":
                        await spend(session, ann, amount, f"{ann} {number}")
                    case "hold":
                        held.append(await spend(session, ann, amount, f"{ann} {number}", pending=True))
                    case "post" if held:
                        await ledger.post(session, held.pop(amount % len(held)), now=NOW)
                    case "void" if held:
                        await ledger.void(session, held.pop(amount % len(held)), now=NOW)
            except InsufficientFunds:
                pass
        account = await session.scalar(
            select(Account).where(Account.customer_id == ann, Account.kind == AccountKind.VOUCHER)
        )
        assert account is not None
        await session.refresh(account)
        rows = (
            await session.scalars(
                select(Transfer).where((Transfer.debit_id == account.id) | (Transfer.credit_id == account.id))
            )
        ).all()
        moved = [row for row in rows if row.phase in (Phase.POSTED, Phase.POST)]
        assert account.posted == sum(row.amount if row.credit_id == account.id else -row.amount for row in moved)
        assert account.reserved == sum(row.amount for row in held)
        assert 0 <= account.reserved <= account.posted

"""Transfers between accounts: the only writer of the ledger (rules.md 2)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy import func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from billing.errors import Conflict, InsufficientFunds
from billing.models import BIG, CUSTOMER_KINDS, HOUSE_KINDS, Account, AccountKind, Instant, Phase, Transfer
from billing.sql import columns, inserting, table

# Made once: it takes longer to write it than to answer it.
_HELD = select(Account.kind, Account.posted, Account.reserved).where(
    Account.customer_id == sa.bindparam("customer_id", type_=BIG)
)


class Side(NamedTuple):
    """One end of a transfer: a customer's account, or the house's where no customer is named."""

    kind: AccountKind
    customer_id: int | None = None


@dataclass(frozen=True, slots=True)
class Balances:
    """What a customer has and owes, in minor units.

    Attributes:
        voucher: voucher money that can be spent; `balance` likewise: pending transfers are taken off.
        receivable: what is owed in all, with `receivable_pending` of it being paid right now.
    """

    voucher: int
    balance: int
    receivable: int
    receivable_pending: int

    @property
    def funds(self) -> int:
        """Voucher and balance together."""
        return self.voucher + self.balance


@dataclass(frozen=True, slots=True)
class About:
    """What a transfer is for.

    Attributes:
        reason: a word for machines: `issue`, `settle`, `topup`, `redeem`, `correction`…
        note: why, in a person's words.
        actor: Telegram id of the administrator who made it.
        invoice_id: the invoice that it issues or pays; `payment_id` and `voucher_id` likewise.
    """

    reason: str
    note: str = ""
    actor: int | None = None
    invoice_id: int | None = None
    payment_id: int | None = None
    voucher_id: int | None = None


async def open_house(session: AsyncSession) -> None:
    """Make the house's accounts; those that exist stay."""
    have = set(await session.scalars(select(Account.kind).where(Account.customer_id.is_(None))))
    session.add_all(Account(kind=kind) for kind in HOUSE_KINDS if kind not in have)
    await session.flush()


async def open_customer(session: AsyncSession, customer_id: int) -> None:
    """Make the three accounts of a new customer."""
    session.add_all(Account(customer_id=customer_id, kind=kind, posted=0, reserved=0) for kind in CUSTOMER_KINDS)
    await session.flush()


async def balances(session: AsyncSession, customer_id: int) -> Balances:
    """Return what a customer has and owes."""
    rows = await session.execute(_HELD, {"customer_id": customer_id})
    held = {kind: (posted or 0, reserved or 0) for kind, posted, reserved in rows}
    voucher, balance, receivable = (held[kind] for kind in CUSTOMER_KINDS)
    return Balances(
        voucher=voucher[0] - voucher[1],
        balance=balance[0] - balance[1],
        receivable=receivable[0],
        receivable_pending=receivable[1],
    )


async def transfer(
    session: AsyncSession,
    *,
    operation: str,
    debit: Side,
    credit: Side,
    amount: int,
    about: About,
    now: datetime,
    pending: bool = False,
) -> Transfer:
    """Move a positive amount, or reserve it; the same operation again returns the first transfer (rules.md 2.2).

    Raises:
        InsufficientFunds: the account that it leaves does not hold so much (rules.md 2.3).
        Conflict: the operation exists with other accounts or another amount.
    """
    debit_account, credit_account = await _account(session, debit), await _account(session, credit)
    # A savepoint: a caller that catches InsufficientFunds goes on without half of a transfer.
    async with session.begin_nested():
        row = await _add(
            session,
            operation=operation,
            phase=Phase.PENDING if pending else Phase.POSTED,
            debit_id=debit_account.id,
            credit_id=credit_account.id,
            amount=amount,
            created_at=now,
            about=about,
        )
        if row is None:
            return await _existing(session, operation, debit_account.id, credit_account.id, amount)
        await _move(session, debit_account, credit_account, amount, row.phase)
    return row


async def owe_many(
    session: AsyncSession, owed: sa.FromClause, *, credit: AccountKind, reason: str, now: datetime
) -> None:
    """Move `receivable` of many customers to an account of the house, in two statements.

    Args:
        session: a transaction that holds these customers.
        owed: columns `operation`, `customer_id`, `invoice_id` and `amount`, a customer once; operations are new, as
            those of invoices just made are (a known one fails the whole statement).
        credit: the account of the house.
        reason: as in `About`.
        now: when.
    """
    house = select(Account.id).where(Account.customer_id.is_(None), Account.kind == credit).scalar_subquery()
    names, values = columns(
        {
            "operation": owed.c.operation,
            "phase": sa.literal(Phase.POSTED.value),
            "debit_id": _id_of(owed, Account.kind == AccountKind.RECEIVABLE),
            "credit_id": house,
            "amount": owed.c.amount,
            "created_at": sa.literal(now, Instant()),
            "reason": sa.literal(reason),
            "note": sa.literal(""),
            "invoice_id": owed.c.invoice_id,
        }
    )
    rows = select(*values).select_from(owed)
    await session.execute(inserting(session, Transfer).from_select(names, rows, include_defaults=False))
    amount = select(owed.c.amount).where(owed.c.customer_id == Account.customer_id).scalar_subquery()
    await session.execute(
        update(table(Account))
        .where(Account.kind == AccountKind.RECEIVABLE, Account.customer_id.in_(select(owed.c.customer_id)))
        .values(posted=Account.posted + amount)
    )


async def settle_many(session: AsyncSession, paid: sa.FromClause, *, reason: str, now: datetime) -> None:
    """Move voucher and balance money of many customers onto what they owe, in three statements.

    Args:
        session: a transaction that holds these customers.
        paid: columns `operation`, `customer_id`, `invoice_id`, `kind` (the account that it leaves) and `amount`;
            operations are new. An account that does not hold so much fails the whole statement.
        reason: as in `About`.
        now: when.
    """
    names, values = columns(
        {
            "operation": paid.c.operation,
            "phase": sa.literal(Phase.POSTED.value),
            "debit_id": _id_of(paid, Account.kind == paid.c.kind),
            "credit_id": _id_of(paid, Account.kind == AccountKind.RECEIVABLE),
            "amount": paid.c.amount,
            "created_at": sa.literal(now, Instant()),
            "reason": sa.literal(reason),
            "note": sa.literal(""),
            "invoice_id": paid.c.invoice_id,
        }
    )
    rows = select(*values).select_from(paid)
    await session.execute(inserting(session, Transfer).from_select(names, rows, include_defaults=False))
    amount = sa.cast(func.sum(paid.c.amount), sa.BigInteger())
    for kinds, of_kind in (
        ((AccountKind.VOUCHER, AccountKind.BALANCE), paid.c.kind == Account.kind),
        ((AccountKind.RECEIVABLE,), sa.true()),
    ):
        moved = select(func.coalesce(amount, 0)).where(paid.c.customer_id == Account.customer_id, of_kind)
        await session.execute(
            update(table(Account))
            .where(Account.kind.in_(kinds), Account.customer_id.in_(select(paid.c.customer_id)))
            .values(posted=Account.posted - moved.scalar_subquery())
        )


def _id_of(rows: sa.FromClause, of_kind: sa.ColumnElement[bool]) -> sa.ScalarSelect[int]:
    # Looked up rather than joined: SQLite, which keeps no statistics, might go through all accounts.
    return select(Account.id).where(Account.customer_id == rows.c.customer_id, of_kind).scalar_subquery()


async def post(session: AsyncSession, pending: Transfer, *, now: datetime) -> Transfer:
    """Carry out a pending transfer; posting it again returns the first result.

    Raises:
        Conflict: it was voided.
    """
    return await _resolve(session, pending, Phase.POST, now)


async def void(session: AsyncSession, pending: Transfer, *, now: datetime) -> Transfer:
    """Give back what a pending transfer reserved; voiding it again returns the first result.

    Raises:
        Conflict: it was posted.
    """
    return await _resolve(session, pending, Phase.VOID, now)


async def unresolved(session: AsyncSession, payment_id: int) -> Sequence[Transfer]:
    """Return the pending transfers of a payment that were neither posted nor voided, oldest first."""
    resolution = select(Transfer.pending_id).where(Transfer.pending_id.is_not(None), Transfer.payment_id == payment_id)
    return (
        await session.scalars(
            select(Transfer)
            .where(Transfer.payment_id == payment_id, Transfer.phase == Phase.PENDING, Transfer.id.not_in(resolution))
            .order_by(Transfer.id)
        )
    ).all()


async def _resolve(session: AsyncSession, pending: Transfer, phase: Phase, now: datetime) -> Transfer:
    if pending.phase is not Phase.PENDING:
        raise Conflict(f"transfer {pending.id} is not pending")
    done = await session.scalar(select(Transfer).where(Transfer.pending_id == pending.id))
    if done is not None:
        if done.phase is not phase:
            raise Conflict(f"transfer {pending.id} was resolved by {done.phase}, not {phase}")
        return done
    row = await _add(
        session,
        operation=f"{pending.operation}:{phase.value}",
        phase=phase,
        debit_id=pending.debit_id,
        credit_id=pending.credit_id,
        amount=pending.amount,
        created_at=now,
        pending_id=pending.id,
        about=About(
            pending.reason, pending.note, pending.actor, pending.invoice_id, pending.payment_id, pending.voucher_id
        ),
    )
    if row is None:
        raise Conflict(f"transfer {pending.id} is being resolved by somebody else")
    accounts = {
        account.id: account
        for account in await session.scalars(
            select(Account).where(Account.id.in_((pending.debit_id, pending.credit_id)))
        )
    }
    await _move(session, accounts[pending.debit_id], accounts[pending.credit_id], pending.amount, phase)
    return row


async def _account(session: AsyncSession, side: Side) -> Account:
    return (
        await session.scalars(
            select(Account).where(Account.kind == side.kind, Account.customer_id.is_not_distinct_from(side.customer_id))
        )
    ).one()


async def _add(session: AsyncSession, *, about: About, **values: object) -> Transfer | None:
    """Insert a transfer; `None` when its operation exists already."""
    dialect = session.get_bind().dialect.name
    statement = sqlite.insert(Transfer) if dialect == "sqlite" else postgresql.insert(Transfer)
    return (
        await session.scalars(
            statement.values(
                **values,
                reason=about.reason,
                note=about.note,
                actor=about.actor,
                invoice_id=about.invoice_id,
                payment_id=about.payment_id,
                voucher_id=about.voucher_id,
            )
            .on_conflict_do_nothing(index_elements=[Transfer.operation])
            .returning(Transfer)
        )
    ).one_or_none()


async def _existing(session: AsyncSession, operation: str, debit_id: int, credit_id: int, amount: int) -> Transfer:
    row = (await session.scalars(select(Transfer).where(Transfer.operation == operation))).one()
    if (row.debit_id, row.credit_id, row.amount) != (debit_id, credit_id, amount):
        raise Conflict(f"operation {operation} was another transfer")
    return row


async def _move(session: AsyncSession, debit: Account, credit: Account, amount: int, phase: Phase) -> None:
    """Change both balances; accounts in the order of their ids, so that two transfers never wait in a circle."""
    for account in sorted((debit, credit), key=lambda account: account.id):
        if account.customer_id is not None:
            adds = (account is debit) == (account.kind is AccountKind.RECEIVABLE)
            await _change(session, account, amount, phase, adds=adds)


async def _change(session: AsyncSession, account: Account, amount: int, phase: Phase, *, adds: bool) -> None:
    """Apply one transfer to one customer account; only what leaves it is reserved while pending."""
    posted, reserved = _effect(phase, adds=adds)
    if not (posted or reserved):
        return
    result = await session.execute(
        update(Account)
        .where(
            Account.id == account.id,
            Account.posted - Account.reserved + (posted - reserved) * amount >= 0,
        )
        .values(posted=Account.posted + posted * amount, reserved=Account.reserved + reserved * amount)
        .returning(Account.id)
        .execution_options(synchronize_session=False)
    )
    if result.scalar_one_or_none() is None:
        raise InsufficientFunds(account.id, amount)


def _effect(phase: Phase, *, adds: bool) -> tuple[int, int]:
    """Return by how many times the amount `posted` and `reserved` change."""
    if adds:
        return (1, 0) if phase in (Phase.POSTED, Phase.POST) else (0, 0)
    return {Phase.POSTED: (-1, 0), Phase.PENDING: (0, 1), Phase.POST: (-1, -1), Phase.VOID: (0, -1)}[phase]

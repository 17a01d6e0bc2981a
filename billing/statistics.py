"""Figures of the business by month, and what matters now (C6)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import ColumnElement, and_, case, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute, aliased

from billing.clock import Month
from billing.models import (
    Account,
    AccountKind,
    Customer,
    Interval,
    JobRun,
    Notice,
    NoticeStatus,
    Payment,
    PaymentStatus,
    Phase,
    RequestStatus,
    Transfer,
    VoucherRequest,
)

_MOVED = Transfer.phase.in_((Phase.POSTED, Phase.POST))


@dataclass(frozen=True, slots=True)
class MonthFigures:
    """One month of the business; amounts in minor units.

    Attributes:
        month: which.
        revenue: invoiced in it without tax, less what credit notes took back.
        debt: owed by all customers at its end, or now.
        machines: machines and clusters that ran in it.
        customers: new ones.
    """

    month: Month
    revenue: int
    debt: int
    machines: int
    customers: int


@dataclass(frozen=True, slots=True)
class Now:
    """What matters now.

    Attributes:
        customers: how many there are; `blocked` of them may not deploy.
        debtors: customers who owe something, `debt` in all.
        requests: voucher requests that wait.
        parked: messages that cannot be delivered; `waiting` are on their way.
        unknown: payments whose result nobody knows.
        troubled: jobs whose last run failed, with what it said.
    """

    customers: int
    blocked: int
    debtors: int
    debt: int
    requests: int
    parked: int
    waiting: int
    unknown: int
    troubled: Mapping[str, str]


async def now(session: AsyncSession) -> Now:
    """Return what matters now, in a few counting queries."""
    customers, blocked = (
        await session.execute(select(func.count(), func.count(Customer.blocked_at)).where(Customer.closed_at.is_(None)))
    ).one()
    debtors, debt = (
        await session.execute(
            select(func.count(), func.sum(Account.posted)).where(
                Account.kind == AccountKind.RECEIVABLE, Account.posted > 0
            )
        )
    ).one()
    asked = select(func.count()).where(VoucherRequest.status == RequestStatus.PENDING)
    unknown = select(func.count()).where(Payment.status == PaymentStatus.UNKNOWN)
    jobs = await session.scalars(select(JobRun).where(JobRun.error != "").order_by(JobRun.name))
    return Now(
        customers=customers,
        blocked=blocked,
        debtors=debtors,
        debt=int(debt or 0),
        requests=await session.scalar(asked) or 0,
        parked=await _messages(session, NoticeStatus.PARKED),
        waiting=await _messages(session, NoticeStatus.WAITING),
        unknown=await session.scalar(unknown) or 0,
        troubled={job.name: job.error for job in jobs},
    )


async def _messages(session: AsyncSession, status: NoticeStatus) -> int:
    return await session.scalar(select(func.count()).where(Notice.status == status)) or 0


async def by_month(session: AsyncSession, months: Sequence[Month]) -> list[MonthFigures]:
    """Return the figures of months that follow each other, oldest first; the last one goes on until now."""
    revenue = await _revenue(session, months)
    debt = await _debt(session, months)
    machines = await _machines(session, months)
    customers = await _sums(session, months, select(), Customer.created_at, sa.literal(1))
    return [
        MonthFigures(month, revenue=revenue[place], debt=debt[place], machines=machines[place], customers=count)
        for place, (month, count) in enumerate(zip(months, customers, strict=True))
    ]


async def _revenue(session: AsyncSession, months: Sequence[Month]) -> list[int]:
    house = select(Account.id).where(Account.kind == AccountKind.REVENUE, Account.customer_id.is_(None))
    account = await session.scalar(house)
    signed = case((Transfer.credit_id == account, Transfer.amount), else_=-Transfer.amount)
    touching = or_(Transfer.credit_id == account, Transfer.debit_id == account)
    return await _sums(session, months, select().where(_MOVED, touching), Transfer.created_at, signed)


async def _debt(session: AsyncSession, months: Sequence[Month]) -> list[int]:
    """Go back from what is owed now by what each month changed."""
    debit, credit = aliased(Account), aliased(Account)
    signed = case((debit.kind == AccountKind.RECEIVABLE, Transfer.amount), else_=-Transfer.amount)
    touching = or_(debit.kind == AccountKind.RECEIVABLE, credit.kind == AccountKind.RECEIVABLE)
    rows = (
        select()
        .select_from(Transfer)
        .join(debit, debit.id == Transfer.debit_id)
        .join(credit, credit.id == Transfer.credit_id)
        .where(_MOVED, touching)
    )
    changes = await _sums(session, months, rows, Transfer.created_at, signed)
    owed = await session.scalar(select(func.sum(Account.posted)).where(Account.kind == AccountKind.RECEIVABLE))
    found, left = [], int(owed or 0)
    for change in reversed(changes):
        found.append(left)
        left -= change
    return found[::-1]


async def _machines(session: AsyncSession, months: Sequence[Month]) -> list[int]:
    async def ran(month: Month) -> int:
        inside = and_(
            Interval.started_at < month.end, or_(Interval.ended_at.is_(None), Interval.ended_at > month.start)
        )
        return await session.scalar(select(func.count(Interval.subscription_id.distinct())).where(inside)) or 0

    return [await ran(month) for month in months]


async def _sums(
    session: AsyncSession,
    months: Sequence[Month],
    rows: sa.Select[Any],
    at: InstrumentedAttribute[datetime],
    amount: ColumnElement[int],
) -> list[int]:
    """Return a sum for each month, all in one statement."""

    def of(month: Month) -> ColumnElement[int]:
        inside = and_(at >= month.start, at < month.end)
        return func.sum(case((inside, amount), else_=0))

    found = await session.execute(rows.where(at >= months[0].start).add_columns(*(of(month) for month in months)))
    return [int(value or 0) for value in found.one()]


def last_months(now: datetime, count: int) -> list[Month]:
    """Return the last months, oldest first, the one that goes on included."""
    found = [Month.of(now)]
    while len(found) < count:
        found.append(found[-1].previous())
    return found[::-1]

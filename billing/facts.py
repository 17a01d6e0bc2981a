"""What is known of a customer when an order is looked at, read in a few queries (rules.md 3.5 to 3.7)."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, ScalarSelect, and_, bindparam, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from billing import cards, disputes, metering
from billing.clock import Month
from billing.eligibility import OVERDUE_AFTER, Facts, Verdict, may_deploy
from billing.models import (
    Account,
    AccountKind,
    CreditNoteLine,
    Customer,
    Instant,
    Interval,
    Invoice,
    InvoiceLine,
    MonthNumber,
    MonthRun,
    Quote,
    Subscription,
    Usage,
)
from billing.runway import Purse, Runner
from billing.terms import Terms

_EVER = Month(1970, 1)
# Statements are made once: it takes longer to write them than to answer them.
_CUSTOMERS: ColumnElement[Any] = bindparam("customers", expanding=True)
_FIRST = bindparam("first", type_=Instant())
_HELD = select(Account.customer_id, Account.kind, Account.posted, Account.reserved).where(
    Account.customer_id.in_(_CUSTOMERS)
)
_CLOSED = select(func.max(MonthRun.month))
_NEWEST = (
    select(Invoice.customer_id, func.max(Invoice.month))
    .where(Invoice.customer_id.in_(_CUSTOMERS))
    .group_by(Invoice.customer_id)
)
_RUNS = (
    select(Subscription, Interval)
    .outerjoin(
        Interval,
        and_(Interval.subscription_id == Subscription.id, or_(Interval.ended_at.is_(None), Interval.ended_at > _FIRST)),
    )
    .where(
        Subscription.customer_id.in_(_CUSTOMERS), or_(Subscription.ended_at.is_(None), Subscription.ended_at > _FIRST)
    )
    .order_by(Subscription.id, Interval.id)
)


def _sum_of(line: type[InvoiceLine | CreditNoteLine]) -> ScalarSelect[int]:
    """Return what lines of one kind say of a row of usage."""
    mine = (line.subscription_id == Usage.subscription_id, line.month == Usage.month)
    return select(func.coalesce(func.sum(line.amount), 0)).where(*mine).scalar_subquery()


_LATE = (
    select(Usage.customer_id, Usage.month, Subscription.monthly, Usage.hours)
    .add_columns(_sum_of(InvoiceLine) - _sum_of(CreditNoteLine))
    .join(Subscription, Subscription.id == Usage.subscription_id)
    .where(Usage.customer_id.in_(_CUSTOMERS), Usage.late, Usage.month < bindparam("newest", type_=MonthNumber()))
)
_Run: TypeAlias = tuple[Subscription, list[metering.Span]]
"""What runs or ran, and when."""


@dataclass(frozen=True, slots=True)
class _Running:
    """An interval that would begin now and not end."""

    billed_from: datetime
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Money:
    """Voucher and balance that can be spent, and what is due beyond what they already hold for it.

    Money that is reserved for an invoice is not available, and the invoice is still due in full: counting both would
    take it off twice.
    """

    voucher: int
    balance: int
    due: int


@dataclass(frozen=True, slots=True)
class _Used:
    """Costs of a customer's subscriptions, without tax; see `Facts` for each. `runners` are the active ones."""

    unbilled_before: int
    ended_this_month: int
    active_this_month: int
    projected_this_month: int
    active_monthly: int
    runners: tuple[Runner, ...]


async def judge(
    session: AsyncSession,
    customer: Customer,
    quote: Quote,
    *,
    now: datetime,
    terms: Terms,
    maintenance: bool = False,
    has_ssh_key: bool = True,
) -> Verdict:
    """Return whether a quote may be confirmed now; asked under `accounts.lock` when it is to be (rules.md 3.5)."""
    facts = await gather(session, customer, now=now, terms=terms, maintenance=maintenance, has_ssh_key=has_ssh_key)
    month = Month.of(now)
    rest = metering.cost(quote.monthly, metering.hours_of(_Running(now), month, month.end), terms.currency)
    return may_deploy(facts, quote.monthly, rest, terms)


async def gather(
    session: AsyncSession,
    customer: Customer,
    *,
    now: datetime,
    terms: Terms,
    maintenance: bool = False,
    has_ssh_key: bool = True,
) -> Facts:
    """Return what `may_deploy` asks of a customer; what the money cannot know is handed in."""
    money = (await _money(session, [customer.id]))[customer.id]
    overdue, overdue_since, disputed = await _overdue(session, customer.id, now, terms)
    used = (await _used(session, [customer.id], now, terms))[customer.id]
    return Facts(
        valid_card=await cards.has_valid(session, customer.id, now=now),
        credit_limit=terms.credit_limit if customer.credit_limit is None else customer.credit_limit,
        voucher=money.voucher,
        balance=money.balance,
        due=money.due,
        overdue=overdue,
        overdue_since=overdue_since,
        unbilled_before=used.unbilled_before,
        ended_this_month=used.ended_this_month,
        active_this_month=used.active_this_month,
        projected_this_month=used.projected_this_month,
        active_monthly=used.active_monthly,
        budget=customer.budget,
        dispute=disputed > 0 or bool(await session.scalar(select(disputes.is_open_sql(customer.id)))),
        blocked=customer.blocked_at is not None,
        maintenance=maintenance,
        has_ssh_key=has_ssh_key,
    )


async def purse(session: AsyncSession, customer_id: int, *, now: datetime, terms: Terms) -> Purse:
    """Return what a customer lives on, for `runway.lasts_until`; deployments that do not run yet run from now on."""
    return (await purses(session, [customer_id], now=now, terms=terms))[customer_id]


async def purses(
    session: AsyncSession, customer_ids: Collection[int], *, now: datetime, terms: Terms
) -> dict[int, Purse]:
    """Return what each of some customers lives on, read for all at once."""
    money = await _money(session, customer_ids)
    used = await _used(session, customer_ids, now, terms)
    return {
        customer_id: Purse(
            money[customer_id].voucher + money[customer_id].balance,
            money[customer_id].due + terms.with_tax(used[customer_id].unbilled_before),
            used[customer_id].ended_this_month,
            used[customer_id].runners,
        )
        for customer_id in customer_ids
    }


async def _money(session: AsyncSession, customer_ids: Collection[int]) -> dict[int, _Money]:
    rows = await session.execute(_HELD, {"customers": list(customer_ids)})
    held: dict[int, dict[AccountKind, tuple[int, int]]] = defaultdict(dict)
    for customer_id, kind, posted, reserved in rows:
        if customer_id is not None:
            held[customer_id][kind] = (posted or 0, reserved or 0)
    return {customer_id: _spendable(accounts) for customer_id, accounts in held.items()}


def _spendable(held: dict[AccountKind, tuple[int, int]]) -> _Money:
    voucher, balance, owed = (held[kind] for kind in (AccountKind.VOUCHER, AccountKind.BALANCE, AccountKind.RECEIVABLE))
    on_its_way = min(voucher[1] + balance[1], owed[1])
    return _Money(voucher[0] - voucher[1], balance[0] - balance[1], owed[0] - on_its_way)


async def _overdue(
    session: AsyncSession, customer_id: int, now: datetime, terms: Terms
) -> tuple[int, datetime | None, int]:
    """Return what is due for over 30 days, the day since which the oldest of it is, and what disputes hold.

    What is left of a debt and is too little for a card waits, and blocks nothing (rules.md 6.4).
    """
    late = (Invoice.due > Invoice.disputed) & (Invoice.due_since < now - OVERDUE_AFTER)
    overdue, since, disputed, total = (
        await session.execute(
            select(
                func.sum(Invoice.due - Invoice.disputed).filter(late),
                func.min(Invoice.due_since).filter(late),
                func.sum(Invoice.disputed),
                func.sum(Invoice.due - Invoice.disputed),
            ).where(Invoice.customer_id == customer_id, Invoice.due > 0)
        )
    ).one()
    if int(total or 0) < terms.card_minimum:
        return 0, None, int(disputed or 0)
    return int(overdue or 0), since, int(disputed or 0)


async def _used(session: AsyncSession, customer_ids: Collection[int], now: datetime, terms: Terms) -> dict[int, _Used]:
    invoiced = await _invoiced_until(session, customer_ids)
    late = await _late(session, invoiced, terms)
    runs = await _runs(session, invoiced, Month.of(now))
    return {
        customer_id: _use(runs[customer_id], invoiced[customer_id], late[customer_id], now, terms)
        for customer_id in customer_ids
    }


def _use(runs: Sequence[_Run], invoiced: Month | None, late: int, now: datetime, terms: Terms) -> _Used:
    this_month = Month.of(now)
    before = late
    ended = active = projected = monthly = 0
    runners = []
    for subscription, spans in runs:
        before += sum(_cost(subscription, spans, month, now, terms) for month in _months(spans, invoiced, this_month))
        cost = _cost(subscription, spans, this_month, now, terms)
        if subscription.ended_at is None:
            active += cost
            monthly += subscription.monthly
            going_on = spans if any(span.ended_at is None for span in spans) else [*spans, _Running(now)]
            projected += _cost(subscription, spans or going_on, this_month, this_month.end, terms)
            runners.append(Runner(subscription.name, subscription.monthly, tuple(going_on)))
        else:
            ended += cost
            projected += cost
    return _Used(before, ended, active, projected, monthly, tuple(runners))


def _cost(
    subscription: Subscription, spans: Sequence[metering.Span], month: Month, until: datetime, terms: Terms
) -> int:
    return metering.cost(subscription.monthly, metering.hours_in(spans, month, until), terms.currency)


def _months(spans: Sequence[metering.Span], invoiced: Month | None, this_month: Month) -> Iterator[Month]:
    """Return the ended months, not invoiced yet, that a subscription may have hours in."""
    if spans:
        month = Month.of(min(span.billed_from for span in spans))
        month = max(month, invoiced or month)
        while month < this_month:
            yield month
            month = month.next()


async def _invoiced_until(session: AsyncSession, customer_ids: Collection[int]) -> dict[int, Month | None]:
    """Return the first month that each has no invoice for and that is not closed; none when all are open."""
    closed = await session.scalar(_CLOSED)
    newest = await session.execute(_NEWEST, {"customers": list(customer_ids)})
    named = dict(newest.all())
    return {
        customer_id: max(
            (month.next() for month in (named.get(customer_id), closed) if month is not None), default=None
        )
        for customer_id in customer_ids
    }


async def _runs(
    session: AsyncSession, invoiced: Mapping[int, Month | None], this_month: Month
) -> dict[int, list[_Run]]:
    """Return the subscriptions that are active or ended since a month began, with their intervals since then.

    The month is the first that is not invoiced, this one at the latest.
    """
    starts = {customer_id: min(month or _EVER, this_month).start for customer_id, month in invoiced.items()}
    first = min(starts.values(), default=this_month.start)
    rows = await session.execute(_RUNS, {"customers": list(starts), "first": first})
    found: dict[int, _Run] = {}
    for subscription, interval in rows:
        spans = found.setdefault(subscription.id, (subscription, []))[1]
        if interval is not None:
            spans.append(interval)
    runs: dict[int, list[_Run]] = defaultdict(list)
    for subscription, spans in found.values():
        start = starts[subscription.customer_id]
        if _reaches(subscription.ended_at, start):
            runs[subscription.customer_id].append(
                (subscription, [span for span in spans if _reaches(span.ended_at, start)])
            )
    return runs


def _reaches(ended_at: datetime | None, start: datetime) -> bool:
    return ended_at is None or ended_at > start


async def _late(session: AsyncSession, invoiced: Mapping[int, Month | None], terms: Terms) -> dict[int, int]:
    """Return what hours that came to light in invoiced months cost, beyond what was invoiced (rules.md 5.1)."""
    cost: dict[int, int] = defaultdict(int)
    newest = max((month for month in invoiced.values() if month is not None), default=None)
    if newest is None:
        return cost
    rows = await session.execute(_LATE, {"customers": list(invoiced), "newest": newest})
    for customer_id, month, monthly, hours, paid in rows:
        before = invoiced[customer_id]
        if before is not None and month < before:
            cost[customer_id] += max(metering.cost(monthly, hours, terms.currency) - int(paid), 0)
    return cost

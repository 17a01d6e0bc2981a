"""What is known of a customer when an order is looked at, read in a few queries (rules.md 3.5 to 3.7)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from billing import cards, disputes, metering
from billing.clock import Month
from billing.eligibility import OVERDUE_AFTER, Facts, Verdict, may_deploy
from billing.models import (
    Account,
    AccountKind,
    CreditNoteLine,
    Customer,
    Interval,
    Invoice,
    InvoiceLine,
    MonthRun,
    Quote,
    Subscription,
    Usage,
)
from billing.runway import Purse, Runner
from billing.terms import Terms

_EVER = Month(1970, 1)


@dataclass(frozen=True, slots=True)
class _Running:
    """An interval that would begin now and not end."""

    billed_from: datetime
    ended_at: datetime | None = None


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
    voucher, balance, due = await _money(session, customer.id)
    overdue, overdue_since, disputed = await _overdue(session, customer.id, now, terms)
    used = await _used(session, customer.id, now, terms)
    return Facts(
        valid_card=await cards.has_valid(session, customer.id, now=now),
        credit_limit=terms.credit_limit if customer.credit_limit is None else customer.credit_limit,
        voucher=voucher,
        balance=balance,
        due=due,
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
    voucher, balance, due = await _money(session, customer_id)
    used = await _used(session, customer_id, now, terms)
    owed = due + terms.with_tax(used.unbilled_before)
    return Purse(voucher + balance, owed, used.ended_this_month, used.runners)


async def _money(session: AsyncSession, customer_id: int) -> tuple[int, int, int]:
    """Return voucher and balance that can be spent, and what is owed beyond what they already hold for it.

    Money that is reserved for an invoice is not available, and the invoice is still due in full: counting both would
    take it off twice.
    """
    rows = await session.execute(
        select(Account.kind, Account.posted, Account.reserved).where(Account.customer_id == customer_id)
    )
    held = {kind: (posted or 0, reserved or 0) for kind, posted, reserved in rows}
    voucher, balance, owed = (held[kind] for kind in (AccountKind.VOUCHER, AccountKind.BALANCE, AccountKind.RECEIVABLE))
    on_its_way = min(voucher[1] + balance[1], owed[1])
    return voucher[0] - voucher[1], balance[0] - balance[1], owed[0] - on_its_way


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


async def _used(session: AsyncSession, customer_id: int, now: datetime, terms: Terms) -> _Used:
    this_month = Month.of(now)
    invoiced = await _invoiced_until(session, customer_id)
    before = await _late(session, customer_id, invoiced, terms) if invoiced else 0
    ended = active = projected = monthly = 0
    runners = []
    for subscription, spans in await _runs(session, customer_id, min(invoiced or _EVER, this_month)):
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


async def _invoiced_until(session: AsyncSession, customer_id: int) -> Month | None:
    """Return the first month that this customer has no invoice for and that is not closed; none when all are open."""
    newest_invoice = select(func.max(Invoice.month)).where(Invoice.customer_id == customer_id).scalar_subquery()
    newest_run = select(func.max(MonthRun.month)).scalar_subquery()
    found = (await session.execute(select(newest_invoice, newest_run))).one()
    return max((month.next() for month in found if month is not None), default=None)


async def _runs(
    session: AsyncSession, customer_id: int, since: Month
) -> list[tuple[Subscription, list[metering.Span]]]:
    """Return the subscriptions that are active or ended since a month began, with their intervals since then."""
    rows = await session.execute(
        select(Subscription, Interval)
        .outerjoin(
            Interval,
            and_(
                Interval.subscription_id == Subscription.id,
                or_(Interval.ended_at.is_(None), Interval.ended_at > since.start),
            ),
        )
        .where(
            Subscription.customer_id == customer_id,
            or_(Subscription.ended_at.is_(None), Subscription.ended_at > since.start),
        )
        .order_by(Subscription.id, Interval.id)
    )
    found: dict[int, tuple[Subscription, list[metering.Span]]] = {}
    for subscription, interval in rows:
        spans = found.setdefault(subscription.id, (subscription, []))[1]
        if interval is not None:
            spans.append(interval)
    return list(found.values())


async def _late(session: AsyncSession, customer_id: int, before: Month, terms: Terms) -> int:
    """Return what hours that came to light in invoiced months cost, beyond what was invoiced (rules.md 5.1)."""
    billed = (
        select(func.coalesce(func.sum(InvoiceLine.amount), 0))
        .where(InvoiceLine.subscription_id == Usage.subscription_id, InvoiceLine.month == Usage.month)
        .scalar_subquery()
    )
    credited = (
        select(func.coalesce(func.sum(CreditNoteLine.amount), 0))
        .where(CreditNoteLine.subscription_id == Usage.subscription_id, CreditNoteLine.month == Usage.month)
        .scalar_subquery()
    )
    rows = await session.execute(
        select(Subscription.monthly, Usage.hours, billed - credited)
        .join(Subscription, Subscription.id == Usage.subscription_id)
        .where(Usage.customer_id == customer_id, Usage.late, Usage.month < before)
    )
    return sum(max(metering.cost(monthly, hours, terms.currency) - int(paid), 0) for monthly, hours, paid in rows)

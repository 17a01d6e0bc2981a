"""Figures of the house that answer an operator's questions (B9), read from the database when they are asked for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import sqlalchemy as sa
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.core import CounterMetricFamily
from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import InstrumentedAttribute

from billing.db import ReadSession
from billing.models import (
    Account,
    AccountKind,
    Customer,
    Invoice,
    JobRun,
    Notice,
    NoticeStatus,
    NumberSeries,
    Payment,
    PaymentStatus,
    Phase,
    ProviderEvent,
    SettlementWish,
    Transfer,
)
from bot.models import ChatUpdate
from cloud.models import Deployment

_SETTLED = timedelta(minutes=1)
"""A transfer is counted when it is so old: no transaction that began before it is still open."""

# SQLite takes a partial index only for a condition that reads like its own, without a parameter.
_WAITS = sa.literal_column("notices.status = 'waiting'", sa.Boolean())
_UNKNOWN = (
    sa.literal_column("payments.status IN ('created', 'unknown', 'action')", sa.Boolean()),
    Payment.status == PaymentStatus.UNKNOWN,
)

Where = tuple[ColumnElement[bool], ...]
Since = InstrumentedAttribute[datetime] | InstrumentedAttribute[datetime | None]


@dataclass(slots=True)
class House:
    """The house's figures, read when they are asked for.

    Money that came in is counted on from the last transfer that was seen: transfers are never changed, and there are
    too many to add up each time.
    """

    _last: int = 0
    _money: dict[AccountKind, int] = field(default_factory=dict)

    async def collect(self, session: ReadSession, registry: CollectorRegistry, *, now: datetime) -> None:
        """Put the present figures into a registry."""
        await _deployments(session, registry)
        await _debts(session, registry)
        await _queues(session, registry, now)
        await _jobs(session, registry)
        await self._count_money(session, now)
        registry.register(_MoneyIn(self._money))

    async def _count_money(self, session: ReadSession, now: datetime) -> None:
        until = await session.scalar(
            select(func.max(Transfer.id)).where(Transfer.id > self._last, Transfer.created_at <= now - _SETTLED)
        )
        if until is None:
            return
        rows = await session.execute(
            select(Account.kind, sa.cast(func.sum(Transfer.amount), sa.BigInteger))
            .join(Account, Account.id == Transfer.debit_id)
            .where(
                Transfer.id > self._last,
                Transfer.id <= until,
                Account.kind.in_(_SOURCES),
                Transfer.phase.in_((Phase.POSTED, Phase.POST)),
            )
            .group_by(Account.kind)
        )
        for kind, amount in rows:
            self._money[kind] = self._money.get(kind, 0) + amount
        self._last = until


_SOURCES: Mapping[AccountKind, str] = {
    AccountKind.CARD_CLEARING: "card",
    AccountKind.STARS_CLEARING: "stars",
    AccountKind.VOUCHERS_ISSUED: "voucher",
}


class _MoneyIn:
    """A total that the books keep, not this process: a counter whose value is given."""

    def __init__(self, money: Mapping[AccountKind, int]) -> None:
        self._money = money

    def collect(self) -> list[CounterMetricFamily]:
        """Return the totals by source."""
        family = CounterMetricFamily("bot_money_in_minor_units_total", "Money that came in.", labels=["source"])
        for kind, source in _SOURCES.items():
            family.add_metric([source], self._money.get(kind, 0))
        return [family]


async def _count(session: ReadSession, model: type, *where: ColumnElement[bool]) -> int:
    return await session.scalar(select(func.count()).select_from(model).where(*where)) or 0


async def _deployments(session: ReadSession, registry: CollectorRegistry) -> None:
    deployments = Gauge("bot_deployments", "Deployments by state.", ["kind", "state"], registry=registry)
    for kind, state, count in await session.execute(
        select(Deployment.kind, Deployment.state, func.count()).group_by(Deployment.kind, Deployment.state)
    ):
        deployments.labels(kind.value, state.value.replace(" ", "_")).set(count)
    Gauge("bot_customers", "Customers.", registry=registry).set(await _count(session, Customer))


async def _debts(session: ReadSession, registry: CollectorRegistry) -> None:
    issued = Gauge("bot_documents_issued", "Documents by series: invoices, notes.", ["series"], registry=registry)
    for series, last in await session.execute(
        select(NumberSeries.series, func.sum(NumberSeries.last)).group_by(NumberSeries.series)
    ):
        issued.labels(series).set(last)
    unpaid = Gauge("bot_invoices_open", "Invoices with something due.", registry=registry)
    unpaid.set(await _count(session, Invoice, Invoice.due > 0))
    owed = Gauge("bot_receivable_minor_units", "What customers owe, in minor units.", registry=registry)
    owed.set(await session.scalar(select(func.sum(Account.posted)).where(Account.kind == AccountKind.RECEIVABLE)) or 0)


async def _queues(session: ReadSession, registry: CollectorRegistry, now: datetime) -> None:
    """How much waits that could be done now, and for how long the oldest has waited."""
    queues: Mapping[str, tuple[type, Since, Where]] = {
        "updates": (ChatUpdate, ChatUpdate.received_at, (ChatUpdate.handled_at.is_(None),)),
        "messages": (Notice, Notice.send_at, (_WAITS, Notice.send_at <= now)),
        "events": (ProviderEvent, ProviderEvent.received_at, (ProviderEvent.handled_at.is_(None),)),
        "settlements": (SettlementWish, SettlementWish.wanted_at, (SettlementWish.wanted_at <= now,)),
        "machines": (Deployment, Deployment.reconcile_at, (Deployment.reconcile_at <= now,)),
        "payments_unknown": (Payment, Payment.created_at, _UNKNOWN),
    }
    length = Gauge("bot_queue_length", "What waits and could be done now.", ["queue"], registry=registry)
    age = Gauge("bot_queue_age_seconds", "How long the oldest has waited.", ["queue"], registry=registry)
    for name, (model, since, where) in queues.items():
        found = await session.execute(select(func.count(), func.min(since)).select_from(model).where(*where))
        count, oldest = found.one()
        length.labels(name).set(count)
        age.labels(name).set(0 if oldest is None else max(0.0, (now - oldest).total_seconds()))
    parked = Gauge("bot_notices_parked", "Messages that can never be sent.", registry=registry)
    parked.set(await _count(session, Notice, Notice.status == NoticeStatus.PARKED))


async def _jobs(session: ReadSession, registry: CollectorRegistry) -> None:
    tick = Gauge("bot_job_last_tick_timestamp_seconds", "When a job last became due.", ["job"], registry=registry)
    done = Gauge("bot_job_last_success_timestamp_seconds", "When a job last succeeded.", ["job"], registry=registry)
    running = Gauge("bot_job_running", "1 while a job is at work.", ["job"], registry=registry)
    failed = Gauge("bot_job_failed", "1 if its last run failed.", ["job"], registry=registry)
    for run in await session.scalars(select(JobRun)):
        running.labels(run.name).set(run.leased_until is not None)
        failed.labels(run.name).set(bool(run.error))
        tick.labels(run.name).set(run.tick_at.timestamp())
        if run.finished_at is not None:
            done.labels(run.name).set(run.finished_at.timestamp())

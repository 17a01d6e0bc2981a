"""Figures that answer an operator's questions, read from the database when they are asked for (B9)."""

from prometheus_client import CollectorRegistry, Gauge
from sqlalchemy import func, select

from billing.db import ReadSession
from billing.models import Account, AccountKind, Customer, Invoice, JobRun, Notice, NoticeStatus, Payment, PaymentStatus
from cloud.models import Deployment


async def collect(session: ReadSession, registry: CollectorRegistry) -> None:
    """Put the present figures into a registry."""
    deployments = Gauge("bot_deployments", "Deployments by state.", ["kind", "state"], registry=registry)
    for kind, state, count in await session.execute(
        select(Deployment.kind, Deployment.state, func.count()).group_by(Deployment.kind, Deployment.state)
    ):
        deployments.labels(kind.value, state.value.replace(" ", "_")).set(count)
    customers = Gauge("bot_customers", "Customers.", registry=registry)
    customers.set(await session.scalar(select(func.count()).select_from(Customer)) or 0)
    unpaid = Gauge("bot_invoices_open", "Invoices with something due.", registry=registry)
    unpaid.set(await session.scalar(select(func.count()).select_from(Invoice).where(Invoice.due > 0)) or 0)
    owed = Gauge("bot_receivable_minor_units", "What customers owe, in minor units.", registry=registry)
    owed.set(await session.scalar(select(func.sum(Account.posted)).where(Account.kind == AccountKind.RECEIVABLE)) or 0)
    unknown = Gauge("bot_payments_unknown", "Payments whose result is not known.", registry=registry)
    unknown.set(
        await session.scalar(select(func.count()).select_from(Payment).where(Payment.status == PaymentStatus.UNKNOWN))
        or 0
    )
    notices = Gauge("bot_notices", "Messages not sent.", ["status"], registry=registry)
    for status in (NoticeStatus.WAITING, NoticeStatus.PARKED):
        found = await session.scalar(select(func.count()).select_from(Notice).where(Notice.status == status))
        notices.labels(status.value).set(found or 0)
    tick = Gauge("bot_job_last_tick_timestamp_seconds", "When a job last became due.", ["job"], registry=registry)
    done = Gauge("bot_job_last_success_timestamp_seconds", "When a job last succeeded.", ["job"], registry=registry)
    running = Gauge("bot_job_running", "1 while a job is at work.", ["job"], registry=registry)
    for run in await session.scalars(select(JobRun)):
        running.labels(run.name).set(run.leased_until is not None)
        tick.labels(run.name).set(run.tick_at.timestamp())
        if run.finished_at is not None:
            done.labels(run.name).set(run.finished_at.timestamp())

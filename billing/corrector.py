"""The worker of corrections (rules.md 10): carries out refunds, and reads disputes and refunds that were told of.

As with charges, each call stands between two transactions, and a crash in between leaves a row that says so.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from billing import disputes, outbox, refunds
from billing.clock import Clock
from billing.db import Database
from billing.gateway import (
    DisputeState,
    Gateway,
    GatewayBusy,
    GatewayDenied,
    GatewayError,
    GatewayRefused,
    OutcomeUnknown,
    RefundRequest,
    RefundState,
)
from billing.models import REFUND_IN_FLIGHT, Dispute, Payment, PaymentStatus, Refund, RefundStatus
from billing.payments import GIVE_UP_AFTER, REPLAY_FOR
from billing.terms import Terms

log = logging.getLogger(__name__)

_CHUNK = 50
_LOOKING = timedelta(minutes=2)
"""How long what one process looks after is left alone by others."""
_LOOK_BACK = timedelta(days=3)
"""Disputes of so long are listed, for those whose event was lost, or where no events come at all."""

NoticeCharge = Callable[[str], Awaitable[Payment | None]]
"""`Cashier.notice`: a charge may be disputed before we know that it went through."""


class Corrector:
    """Refunds and disputes."""

    def __init__(
        self, database: Database, gateway: Gateway, clock: Clock, *, terms: Terms, notice_charge: NoticeCharge
    ) -> None:
        """Take what it works with."""
        self._database = database
        self._gateway = gateway
        self._clock = clock
        self._terms = terms
        self._notice_charge = notice_charge

    # --- what was told of

    async def notice_dispute(self, provider_id: str) -> Dispute | None:
        """Look at a dispute that the provider told about; `None` when its charge is none of ours."""
        seen = await self._gateway.get_dispute(provider_id)
        return None if seen is None else await self._disputed(seen)

    async def _disputed(self, seen: DisputeState) -> Dispute | None:
        payment = await self._paid(seen.charge_provider_id)
        if payment is None:
            return None
        async with self._database.transaction() as session:
            return await disputes.record(session, payment.id, seen, terms=self._terms, now=self._clock.now())

    async def _paid(self, charge_provider_id: str) -> Payment | None:
        """Return the payment of a charge, brought up to date: it is disputed, so it went through."""
        async with self._database.read() as reading:
            known = select(Payment).where(Payment.provider_id == charge_provider_id)
            payment = (await reading.scalars(known)).one_or_none()
        if payment is None or payment.status is not PaymentStatus.SUCCEEDED:
            payment = await self._notice_charge(charge_provider_id)
        if payment is not None and payment.status is not PaymentStatus.SUCCEEDED:
            raise OutcomeUnknown(f"payment {payment.id} is disputed and {payment.status}")
        return payment

    async def notice_refund(self, provider_id: str) -> Refund | None:
        """Look at a refund that the provider told about; the house is told of one that somebody else made."""
        seen = await self._gateway.get_refund(provider_id)
        if seen is None:
            return None
        async with self._database.transaction() as session:
            now = self._clock.now()
            row = await _refund_of(session, seen)
            if row is not None:
                return await refunds.record(session, row.id, seen, now=now)
            await _tell_foreign(session, seen, now)
        return None

    async def look_for_disputes(self) -> int:
        """Read the disputes of the last days whose state we do not have, and return how many those were."""
        found = 0
        for seen in await self._gateway.disputes_since(self._clock.now() - _LOOK_BACK):
            async with self._database.read() as reading:
                known = select(Dispute.status).where(Dispute.provider_id == seen.provider_id)
                have = await reading.scalar(known)
            if have is not seen.status:
                await self._disputed(seen)
                found += 1
        return found

    # --- what is in flight

    async def look_after(self) -> int:
        """Carry out and ask for every refund whose time has come, read open disputes; return how many those were."""
        done = 0
        while True:
            async with self._database.transaction() as session:
                now = self._clock.now()
                refund_ids, dispute_ids = await _claim_refunds(session, now), await _claim_disputes(session, now)
            for refund_id in refund_ids:
                await self._guarded(self.carry_out, refund_id)
            for provider_id in dispute_ids:
                await self._guarded(self.notice_dispute, provider_id)
            done += len(refund_ids) + len(dispute_ids)
            if not refund_ids and not dispute_ids:
                return done

    async def _guarded(self, work: Callable[..., Awaitable[object]], key: object) -> None:
        try:
            await work(key)
        except Exception:  # whatever it is, it is one of many, and looked at again
            log.exception("%s is looked at again", key)

    async def carry_out(self, refund_id: int) -> None:
        """Make a refund's next call, and write down what it said."""
        async with self._database.read() as reading:
            row = await reading.get_one(Refund, refund_id)
            payment = await reading.get_one(Payment, row.payment_id)
        outcome = await self._call(row, payment.provider_id or "")
        async with self._database.transaction() as session:
            await self._write_down(session, refund_id, outcome, self._clock.now())

    async def _call(self, row: Refund, charge_id: str) -> RefundState | GatewayError | None:
        replayable = self._clock.now() < row.created_at + REPLAY_FOR
        try:
            if row.provider_id is not None:
                return await self._gateway.get_refund(row.provider_id)
            if row.checks > 1 or not replayable:
                # A stored 500 is replayed for as long as its key is kept: it may be there all the same.
                found = await self._gateway.find_refund(charge_id, row.id)
                if found is not None or not replayable:
                    return found
            return await self._gateway.refund(RefundRequest(row.idempotency_key, row.id, charge_id, row.amount))
        except GatewayError as error:
            log.warning("refund %s: %s", row.id, error)
            return error

    async def _write_down(
        self, session: AsyncSession, refund_id: int, outcome: RefundState | GatewayError | None, now: datetime
    ) -> None:
        customer, row = await refunds.locked(session, refund_id)
        match outcome:
            case RefundState():
                await refunds.record(session, refund_id, outcome, now=now)
            case GatewayBusy() | GatewayDenied():
                await refunds.busy(session, row, now=now)
            case GatewayRefused() if row.status in REFUND_IN_FLIGHT:
                await refunds.fail(session, customer, row, str(outcome), now=now)
            case None if row.status in REFUND_IN_FLIGHT and now >= row.created_at + GIVE_UP_AFTER:
                await refunds.fail(session, customer, row, "the provider knows nothing of it", now=now)
            case _:
                await refunds.unknown(session, row, now=now)


async def hurry(session: AsyncSession, *, now: datetime) -> None:
    """Have every refund and dispute that is open looked at in the next round, whenever its time was."""
    for table, open_ones in (
        (Refund, Refund.status.in_((RefundStatus.UNKNOWN, RefundStatus.PENDING))),
        (Dispute, Dispute.closed_at.is_(None)),
    ):
        await session.execute(update(table).where(open_ones, table.check_at > now).values(check_at=now))


async def _claim_refunds(session: AsyncSession, now: datetime) -> Sequence[int]:
    due = select(Refund.id).where(Refund.check_at <= now).order_by(Refund.check_at, Refund.id).limit(_CHUNK)
    ids = (await session.scalars(due.with_for_update(skip_locked=True))).all()
    await session.execute(update(Refund).where(Refund.id.in_(ids)).values(check_at=now + _LOOKING))
    return ids


async def _claim_disputes(session: AsyncSession, now: datetime) -> Sequence[str]:
    due = select(Dispute.provider_id).where(Dispute.check_at <= now).order_by(Dispute.id).limit(_CHUNK)
    ids = (await session.scalars(due.with_for_update(skip_locked=True))).all()
    taken = update(Dispute).where(Dispute.provider_id.in_(ids)).values(check_at=now + _LOOKING)
    await session.execute(taken)
    return ids


async def _refund_of(session: AsyncSession, seen: RefundState) -> Refund | None:
    """Return our row of a refund: ours is the charge, and the id in its metadata."""
    if seen.refund_id is None:
        return None
    return (
        await session.scalars(
            select(Refund)
            .join(Payment, Payment.id == Refund.payment_id)
            .where(Refund.id == seen.refund_id, Payment.provider_id == seen.charge_provider_id)
        )
    ).one_or_none()


async def _tell_foreign(session: AsyncSession, seen: RefundState, now: datetime) -> None:
    payment = select(Payment).where(Payment.provider_id == seen.charge_provider_id)
    row = (await session.scalars(payment)).one_or_none()
    if row is not None:
        facts = {"refund": seen.provider_id, "payment_id": row.id, "amount": seen.amount, "status": seen.status.value}
        dedup = f"refund:{seen.provider_id}:foreign"
        await outbox.tell_house(
            session, "house_refund_foreign", facts, now=now, dedup=dedup, customer_id=row.customer_id
        )

"""What the provider says it took and gave back, compared with our payments (C13): differences, never a repair."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from billing import sql
from billing.checks import Difference
from billing.db import Database
from billing.gateway import Charge, ChargeStatus, Gateway, RefundState
from billing.models import (
    IN_FLIGHT,
    REFUND_IN_FLIGHT,
    Customer,
    Payment,
    PaymentMethod,
    PaymentStatus,
    Refund,
    RefundStatus,
    Watermark,
)

_WATERMARK = "provider compared"
_AGAIN = timedelta(days=3)
"""What was compared is compared again for so long: money moves late, and a difference is said more than once."""
_FIRST = timedelta(days=35)
SETTLING = timedelta(hours=1)
"""Younger than this may be under way at this moment."""
_CHECK, _REFUNDS = "provider", "refunds"


async def differences(database: Database, gateway: Gateway, *, now: datetime) -> list[Difference]:
    """Return where charges and refunds since the last comparison, and three days before it, are not as we have them.

    Raises:
        GatewayError: the provider could not be asked; the next comparison begins where this one did.
    """
    since = await begin(database, _WATERMARK, now)
    charges = await gateway.charges_since(since)
    refunds = await gateway.refunds_since(since)
    async with database.read() as session:
        found = [one async for one in _charges(session, charges, now)]
        found += [one async for one in _refunds(session, refunds, now)]
        unlisted = await _unlisted(session, charges, since, now)
    found += [one async for one in _missing(gateway, unlisted)]
    await end(database, _WATERMARK, now)
    return found


async def begin(database: Database, name: str, now: datetime) -> datetime:
    """Return the instant since which a comparison has to look: some days before the last one."""
    async with database.read() as session:
        last = await session.scalar(select(Watermark.until).where(Watermark.name == name))
    return (last - _AGAIN) if last else now - _FIRST


async def end(database: Database, name: str, now: datetime) -> None:
    """Remember that a comparison was made."""
    async with database.transaction() as session:
        insert = sql.inserting(session, Watermark).values(name=name, until=now)
        await session.execute(insert.on_conflict_do_update(index_elements=["name"], set_={"until": now}))


async def _charges(session: AsyncSession, charges: Sequence[Charge], now: datetime) -> AsyncIterator[Difference]:
    ids = [charge.payment_id for charge in charges]
    rows = await session.execute(
        select(Payment, Customer.provider_id)
        .join(Customer, Customer.id == Payment.customer_id)
        .where(Payment.id.in_(ids), Payment.method != PaymentMethod.STARS)
    )
    ours: Mapping[int, tuple[Payment, str | None]] = {row[0].id: (row[0], row[1]) for row in rows}
    payers = set(await session.scalars(select(Customer.provider_id).where(Customer.provider_id.is_not(None))))
    for charge in charges:
        if charge.customer_provider_id not in payers or charge.payment_id is None:
            continue  # another installation's on the same account
        payment, payer = ours.get(charge.payment_id, (None, None))
        subject = f"charge {charge.provider_id}"
        took = charge.status is ChargeStatus.SUCCEEDED
        if payment is None or payer != charge.customer_provider_id:
            if took:
                yield Difference(_CHECK, subject, "a payment here", f"{charge.amount} taken for none")
            continue
        if now - payment.created_at < SETTLING or (payment.status in IN_FLIGHT and not took):
            continue
        if took != (payment.status is PaymentStatus.SUCCEEDED):
            yield Difference(_CHECK, f"payment {payment.id}", charge.status.value, payment.status.value)
        elif took and charge.amount != payment.amount:
            yield Difference(_CHECK, f"payment {payment.id}", str(charge.amount), str(payment.amount))
        elif took and charge.provider_id != payment.provider_id:
            yield Difference(_CHECK, f"payment {payment.id}", str(payment.provider_id), f"another {subject}")
        elif took and charge.refunded != payment.refunded and not await _refunding(session, payment):
            yield Difference(_CHECK, f"refunded of payment {payment.id}", str(charge.refunded), str(payment.refunded))


async def _refunding(session: AsyncSession, payment: Payment) -> bool:
    going = select(Refund.id).where(Refund.payment_id == payment.id, Refund.status.in_(REFUND_IN_FLIGHT))
    return await session.scalar(going.limit(1)) is not None


async def _unlisted(session: AsyncSession, charges: Sequence[Charge], since: datetime, now: datetime) -> list[Payment]:
    """Return payments that went through and that the list does not hold."""
    listed = {charge.provider_id for charge in charges}
    rows = await session.scalars(
        select(Payment).where(
            Payment.status == PaymentStatus.SUCCEEDED,
            Payment.method != PaymentMethod.STARS,
            Payment.ended_at >= since,
            Payment.created_at <= now - SETTLING,
        )
    )
    return [payment for payment in rows if payment.provider_id not in listed]


async def _missing(gateway: Gateway, payments: Sequence[Payment]) -> AsyncIterator[Difference]:
    """Yield payments that the provider does not have; each is asked for, since it may have begun before the list."""
    for payment in payments:
        charge = await gateway.get_charge(payment.provider_id or "")
        if charge is None or charge.status is not ChargeStatus.SUCCEEDED or charge.amount != payment.amount:
            found = "none" if charge is None else f"{charge.amount} {charge.status.value}"
            yield Difference(_CHECK, f"payment {payment.id}", f"{payment.amount} taken", found)


async def _refunds(session: AsyncSession, refunds: Sequence[RefundState], now: datetime) -> AsyncIterator[Difference]:
    charges = {refund.charge_provider_id for refund in refunds}
    payments = set(await session.scalars(select(Payment.provider_id).where(Payment.provider_id.in_(charges))))
    rows = await session.scalars(select(Refund).where(Refund.provider_id.in_([one.provider_id for one in refunds])))
    ours = {row.provider_id: row for row in rows}
    for refund in refunds:
        row = ours.get(refund.provider_id)
        subject = f"refund {refund.provider_id}"
        if refund.charge_provider_id not in payments:
            continue  # of a charge that is none of ours
        if row is None:
            if refund.refund_id is None or not await _is_under_way(session, refund.refund_id):
                yield Difference(_REFUNDS, subject, "a credit note here", f"{refund.amount} given back without one")
        elif refund.amount != row.amount:
            yield Difference(_REFUNDS, f"refund {row.id}", str(refund.amount), str(row.amount))
        elif now - row.created_at >= SETTLING and _ended(refund.status) != _ended(row.status):
            yield Difference(_REFUNDS, f"refund {row.id}", refund.status.value, row.status.value)


async def _is_under_way(session: AsyncSession, refund_id: int) -> bool:
    row = await session.get(Refund, refund_id)
    return row is not None and row.provider_id is None and row.status in REFUND_IN_FLIGHT


def _ended(status: RefundStatus) -> RefundStatus | None:
    return None if status in REFUND_IN_FLIGHT else status

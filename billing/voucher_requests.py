"""Requests for vouchers (rules.md 8.4, B1, B8): asked for with a reason, approved or rejected, both ends told.

Approving makes a voucher and redeems it in one act; nobody ever sees its code.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from billing import accounts, audit, outbox, vouchers
from billing.errors import BillingError, Conflict, NotFound, OutOfRange
from billing.models import Customer, RequestStatus, VoucherRequest
from billing.terms import Terms

MOST_PENDING = 3
"""Requests of one customer that wait at the same time."""
LONGEST_REASON = 500


class TooManyRequests(BillingError):
    """So many of this customer's requests wait already; the next one has to."""

    def __init__(self, pending: int) -> None:
        """Keep how many wait."""
        super().__init__(f"{pending} requests wait already")
        self.pending = pending


@dataclass(frozen=True, slots=True)
class Waiting:
    """A request with who asks."""

    request: VoucherRequest
    customer: Customer


async def ask(
    session: AsyncSession,
    customer: Customer,
    *,
    amount: int,
    reason: str,
    operation: str,
    terms: Terms,
    now: datetime,
) -> VoucherRequest:
    """Ask for voucher money; the administrators are told. The same operation again returns the first request.

    Raises:
        OutOfRange: more than can be charged to a balance at once cannot be asked for at once either.
        TooManyRequests: `MOST_PENDING` wait already.
    """
    if amount > terms.topup_most:
        raise OutOfRange(amount, terms.currency.step, terms.topup_most)
    await accounts.lock(session, customer.id)
    known = (await session.scalars(select(VoucherRequest).where(VoucherRequest.operation == operation))).one_or_none()
    if known is not None:
        return known
    waiting = await session.scalar(
        select(func.count()).where(
            VoucherRequest.customer_id == customer.id, VoucherRequest.status == RequestStatus.PENDING
        )
    )
    if waiting and waiting >= MOST_PENDING:
        raise TooManyRequests(waiting)
    request = VoucherRequest(
        customer_id=customer.id,
        amount=amount,
        reason=reason[:LONGEST_REASON],
        operation=operation,
        status=RequestStatus.PENDING,
        created_at=now,
    )
    session.add(request)
    await session.flush()
    facts = _facts(request) | {"name": customer.name, "username": customer.username}
    dedup = f"request:{request.id}:asked"
    await outbox.tell_house(session, "voucher_requested", facts, now=now, dedup=dedup, customer_id=customer.id)
    return request


async def get(session: AsyncSession, request_id: int) -> Waiting:
    """Return a request with who asked, for administrators.

    Raises:
        NotFound: there is none with this id.
    """
    request = await session.get(VoucherRequest, request_id)
    if request is None:
        raise NotFound("request", request_id)
    return Waiting(request, await accounts.get(session, request.customer_id))


async def pending(session: AsyncSession, *, up_to: int | None = None) -> Sequence[VoucherRequest]:
    """Return the requests that wait, oldest first; only those up to an id where one is given."""
    waiting = select(VoucherRequest).where(VoucherRequest.status == RequestStatus.PENDING).order_by(VoucherRequest.id)
    if up_to is not None:
        waiting = waiting.where(VoucherRequest.id <= up_to)
    return (await session.scalars(waiting)).all()


async def approve(session: AsyncSession, request_id: int, *, actor: int, now: datetime) -> VoucherRequest:
    """Give what was asked for: the voucher is made and redeemed in one act, and the customer is told.

    Approving what is approved already changes nothing.

    Raises:
        Conflict: it was rejected.
        NotFound: there is no such request.
    """
    customer, request, decided = await _decide(session, request_id, RequestStatus.APPROVED, actor, now)
    if not decided:
        return request
    made = await vouchers.issue(
        session, amount=request.amount, note=request.reason, batch=f"request:{request.id}", actor=actor, now=now
    )
    (voucher,) = made.vouchers
    if not await vouchers.take(session, customer, voucher, now=now):
        raise Conflict(f"voucher {voucher.id} was redeemed before it was shown to anybody")
    request.voucher_id = voucher.id
    await session.flush()
    audit.record(
        session,
        "approve_request",
        actor=actor,
        now=now,
        customer_id=customer.id,
        request=request.id,
        amount=request.amount,
    )
    await _tell(session, customer, request, "voucher_approved", now)
    return request


async def reject(session: AsyncSession, request_id: int, *, actor: int, now: datetime) -> VoucherRequest:
    """Refuse what was asked for, and tell the customer; refusing it again changes nothing.

    Raises:
        Conflict: it was approved.
        NotFound: there is no such request.
    """
    customer, request, decided = await _decide(session, request_id, RequestStatus.REJECTED, actor, now)
    if decided:
        audit.record(
            session,
            "reject_request",
            actor=actor,
            now=now,
            customer_id=customer.id,
            request=request.id,
            amount=request.amount,
        )
        await _tell(session, customer, request, "voucher_rejected", now)
    return request


async def _decide(
    session: AsyncSession, request_id: int, status: RequestStatus, actor: int, now: datetime
) -> tuple[Customer, VoucherRequest, bool]:
    """Return whose request it is, locked, the request, and whether this call has decided it: the first one does."""
    waiting = await get(session, request_id)
    customer = await accounts.lock(session, waiting.customer.id)
    decided = await session.scalar(
        update(VoucherRequest)
        .where(VoucherRequest.id == request_id, VoucherRequest.status == RequestStatus.PENDING)
        .values(status=status, decided_at=now, decided_by=actor)
        .returning(VoucherRequest.id)
        .execution_options(synchronize_session=False)
    )
    request = await session.get_one(VoucherRequest, request_id, populate_existing=True)
    if decided is None and request.status is not status:
        raise Conflict(f"request {request_id} is {request.status} already")
    return customer, request, decided is not None


async def remind(session: AsyncSession, *, now: datetime) -> int:
    """Remind the administrators of requests that wait, once a day (B8); return how many wait."""
    waiting = await pending(session)
    if waiting:
        facts = {
            "count": len(waiting),
            "total": sum(request.amount for request in waiting),
            "oldest_at": waiting[0].created_at.isoformat(),
        }
        await outbox.tell_house(session, "requests_waiting", facts, now=now, dedup=f"requests:{now.date()}")
    return len(waiting)


def _facts(request: VoucherRequest) -> dict[str, Any]:
    """Return what notices and the audit log say of a request."""
    return {"request_id": request.id, "amount": request.amount, "reason": request.reason}


async def _tell(session: AsyncSession, customer: Customer, request: VoucherRequest, kind: str, now: datetime) -> None:
    dedup = f"request:{request.id}:decided"
    await outbox.tell(session, customer, kind, _facts(request), now=now, dedup=dedup)

"""The worker that charges cards (rules.md 6): alternates transactions with calls of the provider.

Each call stands between two transactions: one that wrote down what is about to happen, one that writes down what
did. A crash between them leaves a row that `look_after` finishes.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime, timedelta
from typing import TypeVar

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from billing import (
    accounts,
    cards,
    leases,
    low_funds,
    outbox,
    payment_results,
    payments,
    quotes,
    settling,
    settling_many,
    topups,
    wishes,
)
from billing.clock import Clock
from billing.db import Database
from billing.errors import NotFound
from billing.gateway import (
    Charge,
    ChargeRequest,
    ChargeStatus,
    Gateway,
    GatewayBusy,
    GatewayDenied,
    GatewayError,
    GatewayRefused,
    PageStatus,
)
from billing.models import IN_FLIGHT, Card, Checkout, Customer, Payment, PaymentMethod, PaymentStatus
from billing.settling import Act, Choice, Step
from billing.terms import Terms

log = logging.getLogger(__name__)

_AT_ONCE = 8
"""Customers served in parallel; each is one call at a time (rules.md 6.9)."""
_CHUNK = 100

_LOOKING = timedelta(minutes=2)
"""How long a payment that one process looks after is left alone by others."""

T = TypeVar("T")
_Outcome = Charge | GatewayError | None


class Cashier:
    """Settles by card, asks for unknown results, and ends what waited too long."""

    def __init__(
        self,
        database: Database,
        gateway: Gateway,
        clock: Clock,
        *,
        terms: Terms,
        return_url: str,
        closed: Callable[[AsyncSession], Awaitable[bool]] | None = None,
        at_once: int = _AT_ONCE,
    ) -> None:
        """Take what it works with.

        Args:
            database: where payments stand.
            gateway: the provider.
            clock: asked once for each transaction.
            terms: what orders and charges go by.
            return_url: where a bank's confirmation page sends the browser.
            closed: says whether nothing is sold now, so that orders that wait go on waiting.
            at_once: customers served in parallel; one, where the same seed has to give the same ledger.
        """
        self._at_once = at_once
        self._owner = leases.new_owner()
        self._database = database
        self._gateway = gateway
        self._clock = clock
        self._terms = terms
        self._minimum = terms.card_minimum
        self._return_url = return_url
        self._closed = closed

    # --- wishes

    async def settle_due(self) -> int:
        """Try every wish that is due, and return how many that were; many that are simple first, and at once."""
        await settling_many.settle(self._database, now=self._clock.now())
        done = 0
        while True:
            async with self._database.transaction() as session:
                leased = await wishes.lease(session, owner=self._owner, now=self._clock.now(), limit=_CHUNK)
            if not leased:
                return done
            await _each(leased, lambda key: self.settle(key[0], by_card=key[1]), at_once=self._at_once)
            done += len(leased)

    async def settle(self, customer_id: int, *, by_card: bool) -> None:
        """Try a customer's wish, from where the last try stopped; nothing happens when there is none that is due."""
        step = await self._begin(customer_id, by_card=by_card)
        while step is not None:
            outcome = await self._call(step)
            step = await self._go_on(customer_id, step, outcome, by_card=by_card)

    async def _begin(self, customer_id: int, *, by_card: bool) -> Step | None:
        async with self._database.transaction() as session:
            now = self._clock.now()
            customer = await accounts.lock(session, customer_id)
            wish = await wishes.begin(session, customer_id, cards=by_card, owner=self._owner, now=now)
            if wish is None:
                return None
            step = await settling.next_step(session, customer, wish, minimum=self._minimum, now=now)
            if step is None:
                await self._over(session, customer, by_card, now)
            return step

    async def _go_on(self, customer_id: int, step: Step, outcome: _Outcome, *, by_card: bool) -> Step | None:
        async with self._database.transaction() as session:
            now = self._clock.now()
            payment = await self._write_down(session, step, outcome, now)
            customer = await accounts.lock(session, customer_id)
            wish = await wishes.begin(session, customer_id, cards=by_card, owner=self._owner, now=now)
            if wish is None:
                return None
            following = await settling.after(session, customer, wish, step, payment, minimum=self._minimum, now=now)
            if following is None:
                await self._over(session, customer, by_card, now)
            return following

    async def _over(self, session: AsyncSession, customer: Customer, by_card: bool, now: datetime) -> None:
        """What was due had its turn: an order that waits for money may go through now (C2).

        Who lives on money that came just now is told how long it lasts (rules.md 9.4).
        """
        if self._closed is None or not await self._closed(session):
            await quotes.offer_kept(session, customer, now=now, terms=self._terms)
        if not by_card:
            await low_funds.tell_if_low(session, customer, now=now, terms=self._terms)

    # --- by hand

    async def pay(self, customer_id: int, choice: Choice, *, digest: str, operation: str) -> Payment | None:
        """Pay invoices by hand with the split that was shown (rules.md 6.3); the payment tells how it went.

        `None` when no card was needed. The same operation again returns the same payment.

        Raises:
            Conflict: the split is no longer the one of this digest.
            NotFound: the card is not theirs, or removed.
            BelowMinimum: the card would have to pay less than it can be charged.
        """
        async with self._database.transaction() as session:
            now = self._clock.now()
            customer = await accounts.lock(session, customer_id)
            payment = await settling.begin_by_hand(
                session, customer, choice, digest=digest, operation=operation, minimum=self._minimum, now=now
            )
            called = payment is None or payment.status is not PaymentStatus.CREATED
        if payment is None or called:
            return payment
        return await self._carry_out(Step(Act.CHARGE, payment.id))

    async def top_up_by_card(self, customer_id: int, offered_id: int, card_id: int) -> Payment:
        """Charge a saved card what the page of a top-up asks for (rules.md 7.4); the payment tells how it went.

        The page is closed first, so that it is not paid as well; where it was paid already, that is the answer.

        Raises:
            NotFound: top-up or card is not theirs.
            Conflict: the page could not be closed: nothing was charged.
        """
        async with self._database.read() as reading:
            offered = await topups.get(reading, customer_id, offered_id)
        if offered.status in IN_FLIGHT:
            offered = await self._carry_out(Step(Act.CANCEL, offered.id))
        async with self._database.transaction() as session:
            now = self._clock.now()
            customer = await accounts.lock(session, customer_id)
            payment = await topups.by_card(session, customer, offered, card_id, now=now)
            called = payment.status is not PaymentStatus.CREATED
        return payment if called else await self._carry_out(Step(Act.CHARGE, payment.id))

    async def cancel_waiting(self, customer_id: int, invoice_ids: tuple[int, ...] | None = None) -> bool:
        """Cancel payments that wait for their customer, and return whether none is left in flight.

        Asked before other money is used for the same invoices, and before a deletion (rules.md 6.7).
        """
        async with self._database.read() as reading:
            waiting = await settling.waiting_for(reading, customer_id, invoice_ids)
        ended = [await self._carry_out(Step(Act.CANCEL, payment.id)) for payment in waiting]
        return all(payment.status not in IN_FLIGHT for payment in ended)

    # --- what is in flight

    async def look_after(self) -> int:
        """Ask for every payment whose time has come, and return how many those were (rules.md 6.6, 6.7)."""
        done = 0
        while True:
            due = await self._claim()
            if not due:
                return done
            await _each(due, self._look_after, at_once=self._at_once)
            done += len(due)

    async def _claim(self) -> list[int]:
        async with self._database.transaction() as session:
            now = self._clock.now()
            chosen = (
                select(Payment.id)
                .where(Payment.status.in_(IN_FLIGHT), Payment.check_at <= now)
                .order_by(Payment.check_at, Payment.id)
                .limit(_CHUNK)
                .with_for_update(skip_locked=True)
            )
            ids = list(await session.scalars(chosen))
            await session.execute(update(Payment).where(Payment.id.in_(ids)).values(check_at=now + _LOOKING))
            return ids

    async def _look_after(self, payment_id: int) -> None:
        async with self._database.read() as reading:
            payment = await reading.get_one(Payment, payment_id)
        now = self._clock.now()
        begun = payment.called_at or payment.created_at
        if payment.status is PaymentStatus.ACTION:
            overdue = now >= payment.created_at + payments.ACTION_FOR
            if payment.method is PaymentMethod.STARS and not overdue:
                return  # the chat tells when it is paid; it cannot be asked
            await self._carry_out(Step(Act.CANCEL if overdue else Act.READ, payment_id))
        elif now < begun + payments.REPLAY_FOR:
            replayed = await self._carry_out(Step(Act.CHARGE, payment_id))
            if replayed.status is PaymentStatus.UNKNOWN and replayed.checks > 1:
                await self._look_for(payment_id)
        else:
            read = await self._carry_out(Step(Act.READ, payment_id))
            if read.status is PaymentStatus.UNKNOWN and now >= begun + payments.GIVE_UP_AFTER:
                # It is there, and neither done nor declined after two days: an end is made.
                await self._carry_out(Step(Act.CANCEL, payment_id))

    async def _look_for(self, payment_id: int) -> None:
        """See whether the charge is there: a stored 500 is replayed for as long as its key is kept."""
        step = Step(Act.READ, payment_id)
        outcome = await self._call(step)
        if isinstance(outcome, Charge):
            async with self._database.transaction() as session:
                await self._write_down(session, step, outcome, self._clock.now())

    async def notice(self, provider_id: str) -> Payment | None:
        """Look at a charge that the provider told about, or whose customer came back from the bank's page.

        `None` when it is none of ours.
        """
        charge = await self._gateway.get_charge(provider_id)
        if charge is None or charge.payment_id is None:
            return None
        async with self._database.transaction() as session:
            now = self._clock.now()
            try:
                customer, payment = await payments.locked(session, charge.payment_id)
            except NotFound:
                return None
            if customer.provider_id != charge.customer_provider_id:
                return None  # another installation's on the same account, which has the same number
            if payment.method is PaymentMethod.CHECKOUT and charge.status is not ChargeStatus.SUCCEEDED:
                return payment  # on the page the customer may try another card; the page says when it is over
            return await self._record(session, payment, charge, now)

    async def notice_card(self, provider_id: str) -> None:
        """Look at a card that the provider told about: renewed, or detached from outside."""
        details = await self._gateway.get_card(provider_id)
        async with self._database.transaction() as session:
            await cards.refresh(session, provider_id, details, now=self._clock.now())

    async def detach(self) -> None:
        """Have the provider forget removed cards."""
        async with self._database.read() as reading:
            wanted = await cards.to_detach(reading, limit=_CHUNK)
        for card in wanted:
            try:
                await self._gateway.detach_card(card.provider_id)
            except GatewayError as error:
                log.warning("card %s stays attached for now: %s", card.id, error)
                continue
            async with self._database.transaction() as session:
                await cards.mark_detached(session, card.id)

    # --- one call, one result

    async def _carry_out(self, step: Step) -> Payment:
        outcome = await self._call(step)
        async with self._database.transaction() as session:
            return await self._write_down(session, step, outcome, self._clock.now())

    async def _write_down(self, session: AsyncSession, step: Step, outcome: _Outcome, now: datetime) -> Payment:
        _, payment = await payments.locked(session, step.payment_id)
        match outcome:
            case Charge():
                return await self._record(session, payment, outcome, now)
            case GatewayDenied():
                await payment_results.busy(session, payment, now=now)
                await _tell_denied(session, outcome, now)
            case GatewayRefused() if step.act is not Act.READ:
                await payment_results.fail(session, payment, str(outcome), now=now)
            case GatewayBusy():
                await payment_results.busy(session, payment, now=now)
            case None if now >= (payment.called_at or payment.created_at) + payments.GIVE_UP_AFTER:
                await payment_results.fail(session, payment, "the provider knows nothing of it", now=now)
            case _:
                await payment_results.unknown(session, payment, now=now)
        if payment.status not in IN_FLIGHT:
            await wishes.resume(session, payment.customer_id, now=now)
        return payment

    async def _record(self, session: AsyncSession, payment: Payment, charge: Charge, now: datetime) -> Payment:
        await payment_results.record(session, payment.id, charge, now=now)
        if payment.status not in IN_FLIGHT:
            await wishes.resume(session, payment.customer_id, now=now)
        return payment

    async def _call(self, step: Step) -> _Outcome:
        async with self._database.read() as reading:
            payment = await reading.get_one(Payment, step.payment_id)
            request = await self._request(reading, payment)
            page_id = await reading.scalar(select(Checkout.provider_id).where(Checkout.payment_id == payment.id))
        try:
            if step.act is Act.CHARGE:
                return await self._gateway.charge(request)
            if step.act is Act.READ:
                return await self._read(payment, request)
            return await self._cancel(payment, page_id)
        except GatewayError as error:
            log.warning("payment %s, %s: %s", payment.id, step.act, error)
            return error

    async def _read(self, payment: Payment, request: ChargeRequest) -> Charge | None:
        if payment.provider_id is not None:
            return await self._gateway.get_charge(payment.provider_id)
        return await self._gateway.find_charge(request.customer_provider_id, payment.id)

    async def _cancel(self, payment: Payment, page_id: str | None) -> Charge:
        if payment.method is PaymentMethod.CHECKOUT:
            page = await self._gateway.expire_page(page_id) if page_id else None
            if page is not None and page.status is PageStatus.COMPLETE and page.charge is not None:
                return page.charge
        elif payment.provider_id is not None:
            return await self._gateway.cancel_charge(payment.provider_id)
        return Charge("", ChargeStatus.CANCELLED, payment.amount)

    async def _request(self, reading: AsyncSession, payment: Payment) -> ChargeRequest:
        """Return the call as it was made first: from rows only, since the same key wants the same words."""
        customer = await accounts.get(reading, payment.customer_id)
        card = await reading.get(Card, payment.card_id) if payment.card_id else None
        return ChargeRequest(
            key=payment.idempotency_key,
            payment_id=payment.id,
            customer_provider_id=customer.provider_id or "",
            card_provider_id=card.provider_id if card else "",
            amount=payment.amount,
            title=payments.title(await payments.shown(reading, payment)),
            return_url=self._return_url,
        )


async def _tell_denied(session: AsyncSession, error: GatewayError, now: datetime) -> None:
    dedup = f"provider_denied:{now.date()}"
    await outbox.tell_house(session, "provider_denied", {"error": str(error)}, now=now, dedup=dedup)


async def _each(items: Iterable[T], work: Callable[[T], Awaitable[object]], *, at_once: int) -> None:
    """Do each, some in parallel; one that breaks leaves the others, and its lease brings it back."""
    room = asyncio.Semaphore(at_once)

    async def one(item: T) -> None:
        async with room:
            try:
                await work(item)
            except Exception:  # whatever it is, it is one customer's
                log.exception("%s is left for the next round", item)

    async with asyncio.TaskGroup() as group:
        for item in items:
            group.create_task(one(item))

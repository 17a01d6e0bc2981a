"""Hosted payment pages (rules.md 7.1, 7.4, 6.8): opened, noticed when they are done, closed.

That a page is done is noticed by webhook, by the browser coming back, and by asking; each says only *look*, and
looking twice is harmless.
"""

import logging
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from billing import accounts, cards, payment_results, payments, provider
from billing.clock import Clock
from billing.db import Database
from billing.errors import NotFound, TooMany
from billing.gateway import (
    CardDetails,
    Charge,
    ChargeStatus,
    Gateway,
    GatewayBusy,
    GatewayError,
    GatewayRefused,
    OutcomeUnknown,
    Page,
    PageRequest,
    PageStatus,
)
from billing.models import IN_FLIGHT, Checkout, CheckoutPurpose, CheckoutStatus, Payment

log = logging.getLogger(__name__)

_OPENING_FOR = timedelta(minutes=2)
"""Longer than the calls that open a page; one that is not open by then is given up."""
MOST_OPEN = 100
"""Pages of one customer that are open at once: each is asked for again and again until it ends, after a day."""
_CHUNK = 50
_UNFINISHED = (CheckoutStatus.WANTED, CheckoutStatus.OPEN)

_WITHOUT_WEBHOOK = (
    (timedelta(minutes=10), timedelta(seconds=5)),
    (timedelta(hours=1), timedelta(seconds=30)),
)
_WITH_WEBHOOK = ((timedelta(hours=1), timedelta(minutes=2)),)
_SELDOM = timedelta(minutes=15)


def next_look(age: timedelta, *, webhook: bool) -> timedelta:
    """Return how long to wait before a page is asked for again: people are quick, or gone."""
    for until, wait in _WITH_WEBHOOK if webhook else _WITHOUT_WEBHOOK:
        if age < until:
            return wait
    return _SELDOM


class Checkouts:
    """The worker that opens hosted pages and notices what became of them."""

    def __init__(
        self, database: Database, gateway: Gateway, clock: Clock, *, public_url: str, done_url: str, webhook: bool
    ) -> None:
        """Take what it works with.

        Args:
            database: where pages stand.
            gateway: the provider.
            clock: asked once for each transaction.
            public_url: where our web endpoints are reached; empty when they are not.
            done_url: where the browser goes instead when they are not: the chat.
            webhook: whether the provider tells us; else it is asked more often.
        """
        self._database = database
        self._gateway = gateway
        self._clock = clock
        self._webhook = webhook
        base = public_url.rstrip("/")
        self._success_url = f"{base}/checkout/done?session_id={{CHECKOUT_SESSION_ID}}" if base else done_url
        self._cancel_url = f"{base}/checkout/cancelled" if base else done_url

    # --- opening

    async def open_for_card(self, customer_id: int) -> Checkout:
        """Open a page on which the customer adds a card; its `url` is the link.

        Raises:
            GatewayError: the provider gave no page. Nothing was promised to anybody: ask again.
            TooMany: cards, or open pages.
        """
        async with self._database.transaction() as session:
            await accounts.lock(session, customer_id)
            if len(await cards.listed(session, customer_id)) >= cards.MOST:
                raise TooMany("cards", cards.MOST)
            checkout = await want(session, customer_id, CheckoutPurpose.CARD, now=self._clock.now())
        return await self.open(checkout)

    async def open(self, checkout: Checkout) -> Checkout:
        """Open the page of a row that is committed; one that is open already is returned as it is.

        Raises:
            GatewayError: the provider gave none; make a new row to try again.
        """
        if checkout.status is CheckoutStatus.OPEN:
            return checkout
        try:
            payer = await provider.customer_of(self._database, self._gateway, checkout.customer_id)
            page = await self._gateway.open_page(await self._request(checkout, payer))
        except GatewayError as error:
            log.warning("checkout %s: %s", checkout.id, error)
            if isinstance(error, GatewayRefused | GatewayBusy):
                await self._end(checkout.id, CheckoutStatus.EXPIRED, None)
            raise
        return await self._opened(checkout.id, page)

    async def _request(self, checkout: Checkout, payer: str) -> PageRequest:
        async with self._database.read() as reading:
            customer = await accounts.get(reading, checkout.customer_id)
            payment = await reading.get(Payment, checkout.payment_id) if checkout.payment_id else None
            title = payments.title(await payments.shown(reading, payment)) if payment else ""
        return PageRequest(
            key=checkout.idempotency_key,
            checkout_id=checkout.id,
            customer_provider_id=payer,
            purpose=checkout.purpose,
            amount=payment.amount if payment else 0,
            payment_id=checkout.payment_id,
            title=title,
            success_url=self._success_url,
            cancel_url=self._cancel_url,
            language=customer.language,
        )

    async def _opened(self, checkout_id: int, page: Page) -> Checkout:
        async with self._database.transaction() as session:
            now = self._clock.now()
            checkout = await _held(session, checkout_id)
            if checkout.status is not CheckoutStatus.WANTED:
                raise OutcomeUnknown("the page came too late")
            checkout.status, checkout.provider_id, checkout.url = CheckoutStatus.OPEN, page.provider_id, page.url
            checkout.check_at = now + next_look(timedelta(), webhook=self._webhook)
            return checkout

    # --- noticing

    async def notice(self, provider_id: str) -> Checkout | None:
        """Look at a page that may be done, and return its row as it is then; `None` when it is none of ours.

        Raises:
            GatewayError: the provider did not say; asking again is harmless.
        """
        async with self._database.read() as reading:
            checkout = (
                await reading.scalars(select(Checkout).where(Checkout.provider_id == provider_id))
            ).one_or_none()
        return checkout and await self._look(checkout)

    async def poll(self) -> int:
        """Look after every page whose time has come, and return how many those were."""
        done = 0
        while True:
            due = await self._claim()
            for checkout in due:
                await self._attend(checkout)
            done += len(due)
            if not due:
                return done

    async def _claim(self) -> Sequence[Checkout]:
        async with self._database.transaction() as session:
            now = self._clock.now()
            chosen = (
                select(Checkout)
                .where(Checkout.status.in_(_UNFINISHED), Checkout.check_at <= now)
                .order_by(Checkout.check_at, Checkout.id)
                .limit(_CHUNK)
                .with_for_update(skip_locked=True)
            )
            due = (await session.scalars(chosen)).all()
            for checkout in due:
                checkout.check_at = now + next_look(now - checkout.created_at, webhook=self._webhook)
                checkout.checks += 1
            return due

    async def _attend(self, checkout: Checkout) -> None:
        if checkout.status is CheckoutStatus.WANTED:
            # Whoever opened it died or got no answer; nobody has seen its link.
            await self._end(checkout.id, CheckoutStatus.EXPIRED, None)
            return
        try:
            await self._look(checkout)
        except GatewayError as error:
            log.warning("checkout %s is asked again later: %s", checkout.id, error)

    async def _look(self, checkout: Checkout) -> Checkout:
        if checkout.status not in _UNFINISHED or checkout.provider_id is None:
            return checkout
        page = await self._gateway.get_page(checkout.provider_id)
        if page is not None and page.status is PageStatus.OPEN and await self._is_over(checkout):
            page = await self._gateway.expire_page(checkout.provider_id)
        if page is None or page.status is PageStatus.EXPIRED:
            return await self._end(checkout.id, CheckoutStatus.EXPIRED, page)
        if page.status is PageStatus.OPEN:
            return checkout
        card = await self._gateway.get_card(page.card_provider_id) if page.card_provider_id else None
        return await self._end(checkout.id, CheckoutStatus.COMPLETE, page, card)

    async def _is_over(self, checkout: Checkout) -> bool:
        """Whether nobody wants this page any more: its payment ended otherwise (rules.md 6.8)."""
        async with self._database.read() as reading:
            payment = await reading.get(Payment, checkout.payment_id) if checkout.payment_id else None
        return payment is not None and payment.status not in IN_FLIGHT

    async def _end(
        self, checkout_id: int, status: CheckoutStatus, page: Page | None, card: CardDetails | None = None
    ) -> Checkout:
        """Write down how a page ended, with what it brought; the second time nothing happens."""
        async with self._database.transaction() as session:
            now = self._clock.now()
            checkout = await _held(session, checkout_id)
            if checkout.status not in _UNFINISHED:
                return checkout
            checkout.status = status
            if checkout.payment_id is not None:
                await _settle_payment(session, checkout.payment_id, page, now)
            elif card is not None:
                await _adopt(session, checkout, card, now)
            return checkout


async def want(
    session: AsyncSession, customer_id: int, purpose: CheckoutPurpose, *, now: datetime, payment_id: int | None = None
) -> Checkout:
    """Write down a page that is about to be opened; under the customer's lock. Commit, then `Checkouts.open`.

    Raises:
        TooMany: `MOST_OPEN` are open already.
    """
    unfinished = select(func.count()).where(Checkout.customer_id == customer_id, Checkout.status.in_(_UNFINISHED))
    if (await session.scalar(unfinished) or 0) >= MOST_OPEN:
        raise TooMany("payment pages", MOST_OPEN)
    checkout = Checkout(
        customer_id=customer_id,
        purpose=purpose,
        status=CheckoutStatus.WANTED,
        idempotency_key=f"checkout-{secrets.token_hex(16)}",
        payment_id=payment_id,
        created_at=now,
        check_at=now + _OPENING_FOR,
    )
    session.add(checkout)
    await session.flush()
    return checkout


async def of_payment(session: AsyncSession, payment_id: int) -> Checkout:
    """Return the page of a payment that is made on one.

    Raises:
        NotFound: it is not made on a page.
    """
    found = (await session.scalars(select(Checkout).where(Checkout.payment_id == payment_id))).one_or_none()
    if found is None:
        raise NotFound("page of payment", payment_id)
    return found


async def hurry(session: AsyncSession, *, now: datetime) -> None:
    """Have every open page looked at in the next round, whenever its time was."""
    await session.execute(
        update(Checkout).where(Checkout.status == CheckoutStatus.OPEN, Checkout.check_at > now).values(check_at=now)
    )


async def _held(session: AsyncSession, checkout_id: int) -> Checkout:
    """Return a page's row under its customer's lock."""
    checkout = await session.get(Checkout, checkout_id)
    if checkout is None:
        raise NotFound("checkout", checkout_id)
    await accounts.lock(session, checkout.customer_id)
    await session.refresh(checkout)
    return checkout


async def _adopt(session: AsyncSession, checkout: Checkout, card: CardDetails, now: datetime) -> None:
    customer = await accounts.get(session, checkout.customer_id)
    if card.customer_provider_id == customer.provider_id:
        await cards.adopt(session, customer.id, card, now=now)
    else:
        # Detached between the page and now, or never attached to this customer: no card of theirs.
        log.warning("checkout %s brought a card that is not attached to its customer", checkout.id)


async def _settle_payment(session: AsyncSession, payment_id: int, page: Page | None, now: datetime) -> None:
    _, payment = await payments.locked(session, payment_id)
    charge = page.charge if page is not None and page.status is PageStatus.COMPLETE else None
    if charge is None:
        charge = Charge("", ChargeStatus.CANCELLED, payment.amount)
    await payment_results.record(session, payment_id, charge, now=now)

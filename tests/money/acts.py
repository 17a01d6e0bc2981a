"""What people, their banks and the operator can do, all through the product's own functions; details by chance."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select

from billing import accounts, cards, credit_notes, quotes, settling, topups, vouchers
from billing.catalog import Item
from billing.clock import DAY
from billing.credit_notes import Credit
from billing.models import Invoice, Kind, Payment, PaymentStatus, Refund, RefundStatus
from billing.quotes import Order
from billing.settling import Choice
from bot.demo.stripe import cards as bank_cards
from bot.demo.stripe import entry
from bot.demo.stripe.errors import ApiError
from cloud import deployments, records
from cloud.deployments import Confirmed
from cloud.models import Deployment, State
from tests.money.world import TERMS, World

_KINDS = {
    "4242424242424242": 50,  # pays
    "4000000000000341": 30,  # is saved, and declined when charged
    "4000000000009987": 4,  # lost: declined for good
    "4000002760003184": 12,  # its bank asks its owner each time
    "4000000000005126": 5,  # takes no refunds
}
_ITEMS = tuple(Item(Kind.VM, size, public) for size in ("small", "medium", "large") for public in (False, True))
_ADMIN = 1


@dataclass
class Run:
    """Our own record of when something ran, to hold invoices against."""

    customer_id: int
    subscription_id: int
    deployment_id: int
    monthly: int
    started_at: datetime
    ended_at: datetime | None = None


@dataclass
class Person:
    """A customer with habits: how likely each act is on a day."""

    id: int
    deploys: float = 0
    deletes: float = 0
    adds_card: float = 0
    redeems: float = 0
    tops_up: float = 0
    pays: float = 0
    tidies: float = 0
    answers_bank: float = 0
    disputes: float = 0


class Acts:
    """What can be done.

    Attributes:
        runs: what ran when, by deployment; `asked` are deletions that people asked for.
    """

    def __init__(self, world: World) -> None:
        """Nothing was done yet."""
        self.world = world
        self.rng = world.rng
        self.runs: dict[int, Run] = {}
        self.asked: set[int] = set()
        self._numbers: list[str] = []
        self._operations = 0
        self._disputes: list[tuple[datetime, str]] = []

    def _operation(self) -> str:
        self._operations += 1
        return f"act:{self._operations}"

    # --- money in

    async def _redeem(self, person: Person) -> str:
        return await self._redeem_one(person, self.rng.randrange(100, 3000, 50))

    async def _redeem_a_lot(self, person: Person) -> str:
        return await self._redeem_one(person, self.rng.randrange(10_000, 30_000, 500))

    async def _redeem_one(self, person: Person, amount: int) -> str:
        world = self.world
        async with world.database.transaction() as session:
            issued = await vouchers.issue(session, amount=amount, batch=self._operation(), actor=_ADMIN, now=world.now)
            customer = await accounts.get(session, person.id)
            answer = await vouchers.redeem(session, customer, issued.codes[0], now=world.now)
        return f"redeem {answer.answer}"

    def _new_card(self) -> str:
        """A number of its own with the behaviour of one of the published test cards."""
        model = bank_cards.BY_NUMBER[self.rng.choices(tuple(_KINDS), tuple(_KINDS.values()))[0]]
        number = f"49{len(self._numbers):013d}"
        number += next(str(n) for n in range(10) if bank_cards.is_luhn(number + str(n)))
        bank_cards._by_number[number] = replace(model, number=number)
        self._numbers.append(number)
        return number

    async def _add_card(self, person: Person) -> str:
        world = self.world
        async with world.database.read() as session:
            have = [card for card in await cards.listed(session, person.id) if cards.is_valid(card, world.now)]
        if len(have) > 1:
            return "cards enough"
        checkout = await world.checkouts.open_for_card(person.id)
        if checkout.provider_id is None or self.rng.random() < 0.1:
            return "card page left"
        taken = self.rng.random() < 0.05 and self._numbers
        number = self.rng.choice(self._numbers) if taken else self._new_card()
        year = (world.now.year + self.rng.choice((0, 1, 3))) % 100
        self._fill_in(checkout.provider_id, number, f"12 / {year:02d}")
        if self.rng.random() < 0.7:
            await world.checkouts.notice(checkout.provider_id)
        return "card"

    def _fill_in(self, session_id: str, number: str, expiry: str = "12 / 49") -> None:
        try:
            self.world.stripe.control.pay(session_id, number, expiry=expiry, approve=self.rng.random() < 0.9)
        except (ApiError, entry.Invalid):
            return  # declined on the page

    async def _top_up(self, person: Person) -> str:
        world = self.world
        amount = self.rng.randrange(TERMS.topup_least, 5000)
        async with world.database.transaction() as session:
            customer = await accounts.get(session, person.id)
            page = await topups.want(session, customer, amount, operation=self._operation(), terms=TERMS, now=world.now)
            listed = await cards.listed(session, person.id)
        opened = await world.checkouts.open(page)
        if listed and opened.payment_id is not None and self.rng.random() < 0.4:
            await world.cashier.top_up_by_card(person.id, opened.payment_id, self.rng.choice(listed).id)
            return "top-up by card"
        if opened.provider_id is None or self.rng.random() < 0.2:
            return "top-up left"
        self._fill_in(opened.provider_id, self._new_card())
        if self.rng.random() < 0.5:
            await world.checkouts.notice(opened.provider_id)
        return "top-up on a page"

    async def _pay(self, person: Person) -> str:
        world = self.world
        async with world.database.read() as session:
            due = await session.scalar(select(func.sum(Invoice.due)).where(Invoice.customer_id == person.id))
            listed = await cards.listed(session, person.id)
        if not due:
            return "nothing to pay"
        card = self.rng.choice(listed).id if listed and self.rng.random() < 0.6 else None
        page = card is None and self.rng.random() < 0.5
        choice = Choice(voucher=self.rng.random() < 0.7, balance=self.rng.random() < 0.7, card_id=card, page=page)
        if self.rng.random() < 0.5:
            await world.cashier.cancel_waiting(person.id)
        async with world.database.read() as session:
            shown = await settling.preview(session, person.id, choice, minimum=TERMS.card_minimum)
        payment = await world.cashier.pay(person.id, choice, digest=shown.digest, operation=self._operation())
        if payment is None or not page:
            return "paid by hand" if payment is None else f"paid by hand: {payment.status}"
        return await self._pay_on_page(payment)

    async def _pay_on_page(self, payment: Payment) -> str:
        from billing import checkouts  # noqa: PLC0415 the world's own has this name

        async with self.world.database.read() as session:
            page = await checkouts.of_payment(session, payment.id)
        opened = await self.world.checkouts.open(page)
        if opened.provider_id is not None and self.rng.random() < 0.8:
            self._fill_in(opened.provider_id, self._new_card())
        return "paid on a page"

    async def _tidy_cards(self, person: Person) -> str:
        world = self.world
        async with world.database.transaction() as session:
            listed = await cards.listed(session, person.id)
            if not listed:
                return "no card"
            card = self.rng.choice(listed)
            if self.rng.random() < 0.5:
                await cards.set_default(session, person.id, card.id, now=world.now)
                return "default card"
            await cards.remove(session, person.id, card.id, now=world.now)
        return "card removed"

    # --- machines

    async def _deploy(self, person: Person) -> str:
        return await self._deploy_one(person, self.rng.choice(_ITEMS))

    async def _deploy_small(self, person: Person) -> str:
        return await self._deploy_one(person, _ITEMS[0])

    async def _deploy_one(self, person: Person, item: Item) -> str:
        world = self.world
        async with world.database.transaction() as session:
            customer = await accounts.get(session, person.id)
            name = f"m{len(self.runs)}-{self._operation().partition(':')[2]}"
            quote = await quotes.offer(session, customer, Order(item, name), world.now)
            outcome = await deployments.confirm(session, customer, quote.id, now=world.now, terms=TERMS)
            if not isinstance(outcome, Confirmed):
                return f"deploy {type(outcome).__name__}"
            row = outcome.deployment
            await records.ready(session, row, world.now)
            self.runs[row.id] = Run(person.id, row.subscription_id, row.id, quote.monthly, world.now)
        return "deploy"

    async def _delete(self, person: Person) -> str:
        world = self.world
        async with world.database.transaction() as session:
            customer = await accounts.get(session, person.id)
            rows = [row for row in await deployments.listed(session, customer) if row.state is State.SUCCESS]
            if not rows:
                return "nothing to delete"
            row = self.rng.choice(rows)
            await deployments.delete(session, customer, row.id, now=world.now)
        self.asked.add(row.id)
        self.runs[row.id].ended_at = world.now
        return "delete"

    async def _vanish(self, _: Person) -> str:
        """A machine is found missing, last seen up to two weeks ago: hours that were invoiced may be taken back."""
        world = self.world
        async with world.database.transaction() as session:
            rows = (await session.scalars(select(Deployment).where(Deployment.state == State.SUCCESS))).all()
            if not rows:
                return "nothing to vanish"
            row = self.rng.choice(sorted(rows, key=lambda one: one.id))
            run = self.runs[row.id]
            seen = max(run.started_at, world.now - self.rng.randrange(1, 14 * 24) * timedelta(hours=1))
            await accounts.lock(session, row.customer_id)
            await records.vanished(session, row, seen, world.now)
        self.asked.add(row.id)
        run.ended_at = seen
        return "vanished"

    # --- banks

    async def _answer_bank(self, person: Person) -> str:
        world = self.world
        async with world.database.read() as session:
            waiting = select(Payment).where(Payment.customer_id == person.id, Payment.status == PaymentStatus.ACTION)
            rows = [row for row in await session.scalars(waiting.order_by(Payment.id)) if row.action_url]
        if not rows or rows[0].provider_id is None:
            return "nothing to confirm"
        try:
            world.stripe.control.answer_bank(rows[0].provider_id, approve=self.rng.random() < 0.8)
        except ApiError:
            return "confirmed too late"
        return "confirmed"

    async def _dispute(self, person: Person) -> str:
        """The owner of a card disputes a charge of the last two months, the whole or a part of it."""
        world = self.world
        async with world.database.read() as session:
            recent = select(Payment.provider_id).where(
                Payment.customer_id == person.id,
                Payment.provider_id.is_not(None),
                Payment.created_at > world.now - 60 * DAY,
            )
            ids = [one for one in await session.scalars(recent.order_by(Payment.id)) if one is not None]
        if not ids:
            return "nothing to dispute"
        charge = self._charge(self.rng.choice(ids))
        if charge is None or charge["disputed"] or charge["amount_refunded"] == charge["amount"]:
            return "not to be disputed"
        left = charge["amount"] - charge["amount_refunded"]
        amount = left if self.rng.random() < 0.7 else self.rng.randint(1, left)
        opened = world.stripe.control.dispute(charge["id"], amount=amount)
        self._disputes.append((world.now + self.rng.randrange(1, 40) * DAY, opened["id"]))
        return "dispute"

    def _charge(self, intent_id: str) -> dict[str, Any] | None:
        charges = [row for row in self.world.stripe.control.charges() if row["payment_intent"] == intent_id]
        return charges[0] if charges else None

    async def _banks_decide(self) -> None:
        due = [dispute for at, dispute in self._disputes if at <= self.world.now]
        self._disputes = [(at, dispute) for at, dispute in self._disputes if at > self.world.now]
        for dispute in due:
            self.world.stripe.control.settle_dispute(dispute, won=self.rng.random() < 0.4)

    async def _send_back(self, _: Person) -> str:
        """A bank sends a refund back days after it went out."""
        world = self.world
        async with world.database.read() as session:
            recent = Refund.created_at > world.now - 25 * DAY
            rows = (
                await session.scalars(
                    select(Refund).where(Refund.status == RefundStatus.SUCCEEDED, recent).order_by(Refund.id)
                )
            ).all()
        if not rows:
            return "no refund to send back"
        try:
            world.stripe.control.fail_refund(self.rng.choice(rows).provider_id or "")
        except ApiError:
            return "refund had failed"
        return "refund sent back"

    # --- the operator

    async def _refund(self, person: Person) -> str:
        world = self.world
        async with world.database.transaction() as session:
            customer = await accounts.lock(session, person.id)
            mine = select(Invoice).where(Invoice.customer_id == person.id).order_by(Invoice.id)
            rows = (await session.scalars(mine)).all()
            if not rows:
                return "nothing to refund"
            invoice = self.rng.choice(rows)
            most = await credit_notes.most(session, invoice)
            if most <= 0:
                return "nothing left to refund"
            total = most if self.rng.random() < 0.4 else self.rng.randint(1, most)
            credit = Credit(self._operation(), total, "sorry", actor=_ADMIN)
            await credit_notes.issue(session, customer, invoice.id, credit, currency=TERMS.currency, now=world.now)
        return "refund"

    async def _write_off(self, person: Person) -> str:
        world = self.world
        async with world.database.transaction() as session:
            customer = await accounts.lock(session, person.id)
            open_ones = select(Invoice.id).where(Invoice.customer_id == person.id, Invoice.due > 0)
            invoice_id = await session.scalar(open_ones.order_by(Invoice.id).limit(1))
            if invoice_id is None:
                return "nothing to write off"
            await credit_notes.write_off(
                session, customer, invoice_id, reason="gone", actor=_ADMIN, operation=self._operation(), now=world.now
            )
        return "write-off"

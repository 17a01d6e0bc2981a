"""A shop with its till: the product's payment workers against the Stripe stand-in, over HTTP by the real library."""

import contextlib
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sqlalchemy import select

from billing import accounts, cards, checks, dues, ledger, settling, topups, wishes
from billing.cashier import Cashier
from billing.checkouts import Checkouts
from billing.clock import ManualClock, Month
from billing.corrector import Corrector
from billing.db import Database, ReadSession
from billing.ledger import About, Side
from billing.models import (
    AccountKind,
    Card,
    Customer,
    Invoice,
    InvoiceKind,
    InvoiceLine,
    Notice,
    NumberSeries,
    Payment,
    SettlementWish,
    Voucher,
)
from billing.money import Currency
from billing.settlement import Plan
from billing.settling import Choice
from billing.stripe_gateway import StripeGateway
from billing.terms import Terms
from bot.demo.stripe import StripeStandIn
from tests.billing.shop import VISA, open_shop

TERMS = Terms(Currency.of("usd"))

_numbers = itertools.count(1)


@dataclass
class Till:
    """What the tests hold in their hands.

    Attributes:
        database: the product's.
        clock: the product's and the stand-in's.
        stripe: the stand-in; `stripe.control` pulls its strings.
        gateway: the real gateway on the real library.
        cashier: settles and asks; `checkouts` opens pages, `corrector` gives back.
    """

    database: Database
    clock: ManualClock
    stripe: StripeStandIn
    gateway: StripeGateway
    cashier: Cashier = field(init=False)
    checkouts: Checkouts = field(init=False)
    corrector: Corrector = field(init=False)

    def __post_init__(self) -> None:
        """Put the workers together, as the product does."""
        self.restart()

    def restart(self) -> None:
        """New workers, as after a crash."""
        self.cashier = Cashier(
            self.database, self.gateway, self.clock, terms=TERMS, return_url="https://shop.example/checkout/done"
        )
        self.checkouts = Checkouts(
            self.database,
            self.gateway,
            self.clock,
            public_url="https://shop.example",
            done_url="https://chat.example",
            webhook=True,
        )
        self.corrector = Corrector(
            self.database, self.gateway, self.clock, terms=TERMS, notice_charge=self.cashier.notice
        )

    # --- the world

    async def customer(self, **fields: object) -> Customer:
        """A new customer."""
        number = next(_numbers)
        async with self.database.transaction() as session:
            customer = await accounts.register(
                session,
                telegram_id=10_000 + number,
                username=f"user{number}",
                name=f"Ann {number}",
                language="en",
                now=self.clock.now(),
            )
            for name, value in fields.items():
                setattr(customer, name, value)
        return customer

    async def add_card(self, customer: Customer, number: str = VISA, *, expiry: str = "12 / 34") -> Card | None:
        """Add a card as a customer does: the page, the number, the way back; the newest live card after it."""
        checkout = await self.checkouts.open_for_card(customer.id)
        assert checkout.provider_id is not None
        self.stripe.control.pay(checkout.provider_id, number, expiry=expiry, approve=True)
        await self.checkouts.notice(checkout.provider_id)
        async with self.database.read() as session:
            found = await cards.listed(session, customer.id)
        return max(found, key=lambda card: card.id, default=None)

    async def invoice(self, customer: Customer, amount: int, *, wish: bool = True) -> Invoice:
        """Issue an invoice of one line, each of a month of its own."""
        now = self.clock.now()
        async with self.database.transaction() as session:
            await accounts.lock(session, customer.id)
            number = await _next_number(session, now.year)
            month = Month(2000 + number // 12, number % 12 + 1)
            row = Invoice(
                kind=InvoiceKind.INVOICE,
                number=f"INV-{now.year}-{number:06d}",
                customer_id=customer.id,
                month=month,
                issued_at=now,
                net=amount,
                tax_basis_points=0,
                tax=0,
                total=amount,
                seller={},
                buyer={},
                due=amount,
                due_since=now,
            )
            session.add(row)
            await session.flush()
            session.add(_line(row))
            await ledger.transfer(
                session,
                operation=f"issue:{row.id}",
                debit=Side(AccountKind.RECEIVABLE, customer.id),
                credit=Side(AccountKind.REVENUE),
                amount=amount,
                about=About("issue", invoice_id=row.id),
                now=now,
            )
            if wish:
                await wishes.wish(session, customer.id, cards=True, reason="issue", now=now)
        return row

    async def give(self, customer: Customer, *, voucher: int = 0, balance: int = 0) -> None:
        """Put money onto a customer's accounts, as a voucher or a correction does, and have it used."""
        now = self.clock.now()
        async with self.database.transaction() as session:
            number = next(_numbers)
            if voucher:
                row = Voucher(
                    code_hash=f"hash{number}", hint="X", amount=voucher, batch="b", created_by=1, created_at=now,
                    redeemed_by=customer.id, redeemed_at=now,
                )  # fmt: skip
                session.add(row)
                await session.flush()
                await ledger.transfer(
                    session,
                    operation=f"voucher:{row.id}",
                    debit=Side(AccountKind.VOUCHERS_ISSUED),
                    credit=Side(AccountKind.VOUCHER, customer.id),
                    amount=voucher,
                    about=About("redeem", voucher_id=row.id),
                    now=now,
                )
            if balance:
                await ledger.transfer(
                    session,
                    operation=f"correction:{number}",
                    debit=Side(AccountKind.CORRECTIONS),
                    credit=Side(AccountKind.BALANCE, customer.id),
                    amount=balance,
                    about=About("correction", note="test"),
                    now=now,
                )
            await wishes.wish(session, customer.id, cards=False, reason="credit", now=now)

    async def top_up(self, customer: Customer, amount: int) -> Payment:
        """Charge the balance on a page, as a customer does."""
        async with self.database.transaction() as session:
            now = self.clock.now()
            wanted = await topups.want(
                session, customer, amount, operation=f"test:{next(_numbers)}", terms=TERMS, now=now
            )
        page = await self.checkouts.open(wanted)
        assert page.provider_id is not None
        self.stripe.control.pay(page.provider_id)
        await self.checkouts.notice(page.provider_id)
        await self.work()
        return (await self.payments(customer))[-1]

    async def cashier_preview(self, session: ReadSession, customer: Customer, choice: Choice) -> Plan:
        """The split that paying by hand would make."""
        return await settling.preview(session, customer.id, choice, minimum=TERMS.card_minimum)

    async def pass_time(self, by: timedelta, *, step: timedelta = timedelta(0)) -> None:
        """Move the clock, in steps if asked, and let the workers do what is due."""
        left = by
        while left > timedelta(0):
            part = min(step or by, left)
            self.clock.move(part)
            left -= part
            self.stripe.control.tick()
            await self.work()

    async def work(self) -> None:
        """Let every worker do what is due now."""
        await self.checkouts.poll()
        await self.cashier.look_after()
        await self.cashier.settle_due()
        await self.cashier.detach()
        await self.corrector.look_after()

    # --- looking

    async def payments(self, customer: Customer) -> list[Payment]:
        """All payments, oldest first."""
        async with self.database.read() as session:
            mine = select(Payment).where(Payment.customer_id == customer.id).order_by(Payment.id)
            return list(await session.scalars(mine))

    async def due(self, invoice: Invoice) -> int:
        """What an invoice still needs."""
        async with self.database.read() as session:
            return (await session.get_one(Invoice, invoice.id)).due

    async def sources(self, invoice: Invoice) -> list[tuple[str, int]]:
        """Where an invoice's money came from."""
        async with self.database.read() as session:
            return [(part["source"], part["amount"]) for part in await dues.sources(session, invoice.id)]

    async def balances(self, customer: Customer) -> ledger.Balances:
        """What the customer has and owes."""
        async with self.database.read() as session:
            return await ledger.balances(session, customer.id)

    async def wish(self, customer: Customer, *, by_card: bool = True) -> SettlementWish | None:
        """The wish that waits, if one does."""
        async with self.database.read() as session:
            return await session.get(SettlementWish, (customer.id, by_card))

    async def told(self, customer: Customer | None = None) -> list[tuple[str, dict[str, Any]]]:
        """What was told in the chat, to a customer or to the house, oldest first."""
        async with self.database.read() as session:
            rows = select(Notice).order_by(Notice.id)
            mine = Notice.recipient == customer.telegram_id if customer else Notice.recipient.is_(None)
            return [(notice.kind, notice.data) for notice in await session.scalars(rows.where(mine))]

    def taken(self) -> int:
        """The money that Stripe really took."""
        return sum(charge["amount"] for charge in self.stripe.control.charges())

    async def check(self) -> None:
        """The books are right (rules.md 2.6)."""
        async with self.database.read() as session:
            assert await checks.differences(session, currency=Currency.of("usd")) == []


def _line(invoice: Invoice) -> InvoiceLine:
    return InvoiceLine(
        invoice_id=invoice.id, position=1, month=invoice.month, name="web", item="vm-small", workers=0, hours=672,
        monthly=invoice.total, capped=True, amount=invoice.total,
    )  # fmt: skip


async def _next_number(session: Any, year: int) -> int:
    series = await session.get(NumberSeries, ("INV", year))
    if series is None:
        series = NumberSeries(series="INV", year=year, last=0)
        session.add(series)
    series.last += 1
    await session.flush()
    return int(series.last)


@contextlib.asynccontextmanager
async def open_till(database: Database, clock: ManualClock) -> AsyncIterator[Till]:
    """A till on a database, with a stand-in of its own on a free port."""
    async with open_shop(clock) as shop:
        yield Till(database, clock, shop.stripe, shop.gateway)

"""Invoices paid by hand over HTTP: the exact split first, it or nothing (A9, C1, rules.md 6.3, 6.4)."""

import asyncio
from datetime import timedelta
from typing import Any

from sqlalchemy import select

from billing import accounts, dues, ledger
from billing.clock import Month
from billing.ledger import About, Side
from billing.models import AccountKind, Customer, Invoice, InvoiceKind, InvoiceLine, NumberSeries, Payment
from bot.demo.telegram import ChatMessage, Person
from tests.flows.world import DECLINES_LATER, VISA, World, session_of

ASKS_ALWAYS = "4000002760003184"
"""Its bank wants its owner every time."""


async def customer(world: World, person: Person) -> Customer:
    async with world.app.database.read() as session:
        return (await session.scalars(select(Customer).where(Customer.telegram_id == person.id))).one()


async def invoice(world: World, person: Person, amount: int) -> str:
    """Issue an invoice that nobody wishes to be settled; return its number."""
    now = world.clock.now()
    mine = await customer(world, person)
    async with world.app.database.transaction() as session:
        await accounts.lock(session, mine.id)
        series = await session.get(NumberSeries, ("INV", now.year)) or NumberSeries(series="INV", year=now.year, last=0)
        session.add(series)
        series.last += 1
        row = Invoice(
            kind=InvoiceKind.INVOICE, number=f"INV-{now.year}-{series.last:06d}", customer_id=mine.id,
            month=Month(2000 + series.last // 12, series.last % 12 + 1),
            issued_at=now, net=amount, tax_basis_points=0, tax=0, total=amount,
            seller={"name": "", "address": "", "tax_id": ""}, buyer={"name": "", "address": "", "tax_id": ""},
            due=amount, due_since=now,
        )  # fmt: skip
        session.add(row)
        await session.flush()
        session.add(
            InvoiceLine(
                invoice_id=row.id, position=1, subscription_id=None, month=None, name="web", item="",
                workers=0, hours=0, monthly=0, capped=False, amount=amount,
            )
        )  # fmt: skip
        await ledger.transfer(
            session,
            operation=f"issue:{row.id}",
            debit=Side(AccountKind.RECEIVABLE, mine.id),
            credit=Side(AccountKind.REVENUE),
            amount=amount,
            about=About("issue", invoice_id=row.id),
            now=now,
        )
    return row.number


async def give_balance(world: World, person: Person, amount: int) -> None:
    mine = await customer(world, person)
    async with world.app.database.transaction() as session:
        await ledger.transfer(
            session,
            operation=f"gift:{mine.id}:{amount}",
            debit=Side(AccountKind.CORRECTIONS),
            credit=Side(AccountKind.BALANCE, mine.id),
            amount=amount,
            about=About("correction", note="test"),
            now=world.clock.now(),
        )


async def sources(world: World, number: str) -> list[tuple[str, int]]:
    async with world.app.database.read() as session:
        row = (await session.scalars(select(Invoice).where(Invoice.number == number))).one()
        return [(found["card"] or found["source"], found["amount"]) for found in await dues.sources(session, row.id)]


async def with_card(world: World, person: Person, card: str = VISA) -> None:
    await person.send("/addcard")
    page = await person.wait_for_text("payment page")
    world.stripe.control.pay(session_of(page), card=card, approve=True)
    await world.move(timedelta(seconds=6))
    await person.wait_for_text("is saved")


async def rich(world: World, person: Person, *, voucher: int, balance: int) -> None:
    """Give a person funds before they owe anything."""
    await world.admin.start()
    await person.start()
    await person.wait_for_text("Hello")
    if voucher:
        await world.admin.send(f"/newvoucher {voucher // 100}")
        made = await world.admin.wait_for_text("1 voucher of")
        await person.send(f"/voucher {await world.admin.copy(made, 'Copy the code')}")
        await person.wait_for_text("Voucher redeemed")
    if balance:
        await give_balance(world, person, balance)
    await world.settled()


def charged(world: World) -> list[int]:
    return [charge["amount"] for charge in world.stripe.control.charges()]


def texts(message: ChatMessage) -> list[str]:
    return [button.text for button in message.buttons]


async def test_the_split_is_shown_and_paid_once(world: World) -> None:
    """C1: "voucher 3.00, balance 2.00, card •4242 4.00", then one tap; a second one pays nothing more."""
    ann = world.person()
    await rich(world, ann, voucher=300, balance=200)
    await with_card(world, ann)
    number = await invoice(world, ann, 900)
    await ann.send(f"/pay {number}")
    shown = await ann.wait_for_text(number, "$9.00", "Vouchers $3.00", "Balance $2.00", "Visa •4242 $4.00")
    taps = [await ann.tap(shown, "Pay $9.00") for _ in range(3)]
    await asyncio.gather(*(tap.answered() for tap in taps))
    await ann.wait_for_text("Paid: $9.00")
    assert charged(world) == [400]
    assert await sources(world, number) == [("Visa •4242", 400), ("voucher", 300), ("balance", 200)]
    await ann.send(f"/pay {number}")
    await ann.wait_for_text(f"{number} is paid")


async def test_sources_can_be_left_out(world: World) -> None:
    ann = world.person()
    await rich(world, ann, voucher=300, balance=200)
    await with_card(world, ann)
    number = await invoice(world, ann, 900)
    await ann.send("/pay")
    await ann.wait_for_text(number, "Visa •4242 $4.00")
    await ann.press("Vouchers $3.00")
    await ann.wait_for_text("Balance $2.00", "Visa •4242 $7.00")
    await ann.press("No card")
    shown = await ann.wait_for_text("Balance $2.00", "Stays open: $7.00")
    assert "✅ Pay $2.00" in texts(shown)
    await ann.press("Balance $2.00")
    nothing = await ann.wait_for_text("Nothing is chosen")
    assert not any(text.startswith("✅") for text in texts(nothing))
    await ann.press("Visa •4242")
    await ann.wait_for_text("Visa •4242 $9.00")
    await ann.press("Pay $9.00")
    await ann.wait_for_text("Paid: $9.00")
    assert await sources(world, number) == [("Visa •4242", 900)]


async def test_it_is_that_split_or_nothing(world: World) -> None:
    ann = world.person()
    await rich(world, ann, voucher=300, balance=0)
    await with_card(world, ann)
    number = await invoice(world, ann, 900)
    await ann.send(f"/pay {number}")
    shown = await ann.wait_for_text("Vouchers $3.00", "Visa •4242 $6.00")
    await give_balance(world, ann, 100)
    await ann.tap(shown, "Pay $9.00")
    await ann.wait_for_toast("nothing was paid")
    await ann.wait_for_text("Vouchers $3.00", "Balance $1.00", "Visa •4242 $5.00")
    assert charged(world) == []
    assert await sources(world, number) == []


async def test_funds_alone_pay_with_a_double_tap(world: World) -> None:
    ann = world.person()
    await rich(world, ann, voucher=1000, balance=0)
    number = await invoice(world, ann, 900)
    await ann.send(f"/pay {number}")
    shown = await ann.wait_for_text("Vouchers $9.00")
    taps = [await ann.tap(shown, "Pay $9.00") for _ in range(2)]
    await asyncio.gather(*(tap.answered() for tap in taps))
    await ann.wait_for_text(f"{number} is paid")
    assert await sources(world, number) == [("voucher", 900)]
    assert not ann.toasts


async def test_all_are_paid_by_one_charge(world: World) -> None:
    """6.4: by hand "pay all" is one charge."""
    ann = world.person()
    await ann.start()
    await with_card(world, ann)
    numbers = [await invoice(world, ann, amount) for amount in (500, 200, 300)]
    await ann.send("/pay")
    await ann.wait_for_text("What shall be paid?")
    await ann.press("All 3: $10.00")
    await ann.wait_for_text("3 invoices: $10.00", *numbers, "Visa •4242 $10.00")
    await ann.press("Pay $10.00")
    await ann.wait_for_text("Paid: $10.00")
    assert charged(world) == [1000]
    assert [await sources(world, number) for number in numbers] == [
        [("Visa •4242", amount)] for amount in (500, 200, 300)
    ]


async def test_a_declined_card_takes_nothing_and_another_one_pays(world: World) -> None:
    ann = world.person()
    await rich(world, ann, voucher=300, balance=0)
    await with_card(world, ann, DECLINES_LATER)
    number = await invoice(world, ann, 900)
    await ann.send(f"/pay {number}")
    await ann.wait_for_text("Visa •0341 $6.00")
    await ann.press("Pay $9.00")
    await ann.wait_for_text("Visa •0341 was declined", "Nothing was taken")
    assert (await ledger_of(world, ann)).voucher == 300
    await ann.press("Try again")
    await ann.wait_for_text("Vouchers $3.00", "Visa •0341 $6.00")
    await ann.press("Pay $9.00")
    await ann.wait_for_text("was declined", "Nothing was taken")
    await ann.press("Try again")
    await ann.wait_for_text("Vouchers $3.00")
    await ann.press("Another card")
    await ann.wait_for_text("payment page $6.00")
    await ann.press("Pay $9.00")
    page = await ann.wait_for_text("Pay $6.00 on the payment page")
    await world.pay_page(page)
    await ann.wait_for_text(number, "is paid")
    assert await sources(world, number) == [("card_clearing", 600), ("voucher", 300)]


async def ledger_of(world: World, person: Person) -> Any:
    mine = await customer(world, person)
    async with world.app.database.read() as session:
        return await ledger.balances(session, mine.id)


async def test_an_open_page_can_be_left_for_other_money(world: World) -> None:
    ann = world.person()
    await ann.start()
    await ann.wait_for_text("Hello")
    number = await invoice(world, ann, 900)
    await ann.send(f"/pay {number}")
    await ann.wait_for_text("payment page $9.00")
    await ann.press("Pay $9.00")
    page = await ann.wait_for_text("Pay $9.00 on the payment page")
    await give_balance(world, ann, 1000)
    await ann.send(f"/pay {number}")
    again = await ann.wait_for_text("Pay $9.00 on the payment page")
    assert session_of(again) == session_of(page)
    await ann.press("Pay otherwise")
    await ann.wait_for_text("Balance $9.00")
    await ann.press("Pay $9.00")
    await ann.wait_for_text("Paid: $9.00")
    assert await sources(world, number) == [("balance", 900)]
    assert charged(world) == []


async def test_a_bank_that_asks_gets_its_link_into_the_message(world: World) -> None:
    """C8."""
    ann = world.person()
    await ann.start()
    await with_card(world, ann, ASKS_ALWAYS)
    number = await invoice(world, ann, 900)
    await ann.send(f"/pay {number}")
    await ann.wait_for_text("Visa •3184 $9.00")
    await ann.press("Pay $9.00")
    asked = await ann.wait_for_text("Your bank asks you to confirm $9.00", "Nothing is lost")
    assert await ann.open(asked, "Confirm at the bank")
    async with world.app.database.read() as session:
        intent = await session.scalar(select(Payment.provider_id))
    world.stripe.control.answer_bank(str(intent), approve=True)
    await world.move(timedelta(minutes=2))
    await ann.wait_for_text(number, "is paid", "Visa •3184")
    assert charged(world) == [900]


async def test_too_little_for_a_card_waits_or_takes_funds(world: World) -> None:
    ann = world.person()
    await ann.start()
    await with_card(world, ann)
    number = await invoice(world, ann, 30)
    await ann.send(f"/pay {number}")
    await ann.wait_for_text("cannot be charged less than $0.50")
    await give_balance(world, ann, 100)
    await ann.send(f"/pay {number}")
    await ann.wait_for_text("Balance $0.30")
    await ann.press("Pay $0.30")
    await ann.wait_for_text("Paid: $0.30")
    assert await sources(world, number) == [("balance", 30)]


async def test_an_invoice_of_another_is_not_there(world: World) -> None:
    ann, bob = world.person(), world.person(2, "Bob")
    for person in (ann, bob):
        await person.start()
        await person.wait_for_text("Hello")
    number = await invoice(world, ann, 900)
    for words in (number, "INV-2026-000777", "nonsense"):
        await bob.send(f"/pay {words}")
        await bob.wait_for_text("You have no invoice")
    await bob.send("/pay")
    await bob.wait_for_text("Nothing is to be paid")
    await bob.send("/pay all")
    await bob.wait_for_text("Nothing is to be paid")

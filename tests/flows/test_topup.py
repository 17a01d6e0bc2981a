"""Charging the balance over HTTP: by page, by saved card with one tap, in stars; credited once (7.4, 7.5, A20)."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select
from telegram import Bot

from billing import ledger, stars_reconciliation
from billing.clock import ManualClock
from billing.models import AccountKind, AuditEntry, Customer, Payment, PaymentStatus
from bot.demo.telegram import Person, acts
from tests.flows.world import DECLINES_LATER, VISA, World, open_world, session_of


@pytest.fixture
async def starry(tmp_path: Path, sqlite_url: str, clock: ManualClock) -> AsyncIterator[World]:
    """A world in which a star is worth two cents."""
    async with open_world(tmp_path, sqlite_url, clock, stars_rate=2) as opened:
        yield opened
        await opened.check()


async def balance(world: World, person: Person) -> int:
    async with world.app.database.read() as session:
        customer = (await session.scalars(select(Customer).where(Customer.telegram_id == person.id))).one()
        return (await ledger.balances(session, customer.id)).balance


async def payments(world: World) -> list[Payment]:
    async with world.app.database.read() as session:
        return list(await session.scalars(select(Payment).order_by(Payment.id)))


async def with_card(world: World, person: Person, card: str = VISA) -> Person:
    await person.start()
    await person.send("/addcard")
    await world.pay_page(await person.wait_for_text("payment page"), card=card)
    await person.wait_for_text("is saved")
    return person


def charged(world: World) -> list[int]:
    return [charge["amount"] for charge in world.stripe.control.charges()]


async def test_a_page_charges_the_balance_once_however_it_is_noticed(either_world: World) -> None:
    world = either_world
    ann = world.person()
    await ann.start()
    await ann.send("/topup")
    await ann.wait_for_text("How much shall I charge")
    await ann.press("$10.00")
    page = await ann.wait_for_text("Charge $10.00 to your balance")
    await world.pay_page(page)
    await ann.wait_for_text("$10.00 is in your balance")
    checkout = await world.app.checkouts.notice(session_of(page))
    assert checkout is not None
    await world.settled()
    await ann.send("/balance")
    await ann.wait_for_text("Balance: $10.00")
    assert charged(world) == [1000]


@pytest.mark.parametrize(
    ("words", "said"),
    [("ten", "not an amount"), ("4.99", "from $5.00 to $1,000.00"), ("1000.01", "from $5.00"), ("-5", "not an amount")],
)
async def test_bad_amounts_open_no_page(world: World, words: str, said: str) -> None:
    ann = world.person()
    await ann.start()
    await ann.send(f"/topup {words}")
    await ann.wait_for_text(said)
    assert await payments(world) == []


async def test_a_saved_card_charges_with_one_tap_and_closes_the_page(world: World) -> None:
    ann = await with_card(world, world.person())
    await ann.send("/topup 12.50")
    ways = await ann.wait_for_text("Charge $12.50")
    taps = [await ann.tap(ways, "Visa •4242, one tap") for _ in range(3)]
    await asyncio.gather(*(tap.answered() for tap in taps))
    await ann.wait_for_text("$12.50 charged", "Your balance: $12.50")
    with pytest.raises(Exception, match=r"expired|open"):
        world.stripe.control.pay(session_of(ways), card=VISA)
    assert charged(world) == [1250]
    assert [payment.status for payment in await payments(world)] == [PaymentStatus.CANCELLED, PaymentStatus.SUCCEEDED]
    assert await balance(world, ann) == 1250


async def test_a_page_that_was_paid_is_not_charged_to_the_card_as_well(world: World) -> None:
    ann = await with_card(world, world.person())
    await ann.send("/topup 5")
    ways = await ann.wait_for_text("Charge $5.00")
    world.stripe.control.pay(session_of(ways), card=VISA)
    await ann.tap(ways, "one tap")
    await ann.wait_for_text("$5.00 charged", "Your balance: $5.00")
    await world.move(timedelta(seconds=6))
    assert charged(world) == [500]
    assert await balance(world, ann) == 500


async def test_a_declined_card_is_said_and_tried_again_on_a_new_page(world: World) -> None:
    ann = await with_card(world, world.person(), DECLINES_LATER)
    await ann.send("/topup 5")
    ways = await ann.wait_for_text("Charge $5.00")
    await ann.tap(ways, "one tap")
    await ann.wait_for_text("Visa •0341 was declined", "Nothing was taken")
    await ann.press("Try again")
    await world.pay_page(await ann.wait_for_text("Charge $5.00", "your balance"))
    await ann.wait_for_text("$5.00 is in your balance")
    assert await balance(world, ann) == 500


async def test_nobody_pays_another_ones_top_up(world: World) -> None:
    ann, bob = await with_card(world, world.person()), world.person(2, "Bob")
    await ann.send("/topup 5")
    data = (await ann.wait_for_text("Charge $5.00")).button("one tap").data
    await bob.start()
    await bob.send("/topup 6")
    theirs = await bob.wait_for_text("Charge $6.00")
    acts.tap(world.telegram.state, bob.id, world.telegram.state.chats[bob.id], theirs.id, data)
    await bob.wait_for_text("I cannot find that")
    assert charged(world) == []


# --- stars


async def test_stars_charge_the_balance_inside_the_chat(starry: World) -> None:
    """A star is worth two cents here; $5.01 is 251 of them, which are worth $5.02."""
    ann, admin = starry.person(), starry.admin
    await ann.start()
    await ann.send("/topup 5.01")
    ways = await ann.wait_for_text("Charge $5.01")
    await ann.tap(ways, "251 Telegram Stars")
    invoice = await ann.wait(lambda message: "invoice" in message.wire)
    assert invoice.wire["invoice"]["total_amount"] == 251
    assert (await ann.pay(invoice)).ok
    await ann.wait_for_text("$5.02 is in your balance")
    assert await balance(starry, ann) == 502
    again = await ann.pay(invoice)
    assert (again.ok, "not good any more" in again.error) == (False, True)
    await admin.start()
    await admin.send("/stars")
    await admin.wait_for_text("Paid in Telegram Stars")
    await admin.press("251 = $5.02")
    await admin.wait_for_text("251 = $5.02", "Ann")
    screen = await admin.press("Give 251 Stars back")
    await screen.answered()
    await admin.wait_for_text("Given back; $5.02 left their balance")
    await ann.wait_for_text("251 Telegram Stars were given back")
    assert await balance(starry, ann) == 0
    async with starry.app.database.read() as session:
        actions = list(await session.scalars(select(AuditEntry.action)))
    assert actions == ["refund_stars"]
    moves = await starry.app.star_payments.moves()
    assert [(move.stars, move.back) for move in moves] == [(251, False), (251, True)]
    now = starry.clock.now() + timedelta(days=1)
    found = await stars_reconciliation.differences(starry.app.database, starry.app.star_payments, now=now)
    assert found == []


async def test_only_who_asked_pays_an_invoice_in_stars_and_only_for_a_day(starry: World) -> None:
    ann, bob = starry.person(), starry.person(2, "Bob")
    await bob.start()
    await ann.start()
    await ann.send("/topup 5")
    await ann.tap(await ann.wait_for_text("Charge $5.00"), "Telegram Stars")
    invoice = await ann.wait(lambda message: "invoice" in message.wire)
    forwarded = await acts.pay(starry.telegram.state, bob.id, starry.telegram.state.chats[ann.id], invoice.id)
    assert not forwarded.ok
    await starry.move(timedelta(days=1))
    await starry.app.cashier.look_after()
    late = await ann.pay(invoice)
    assert (late.ok, "Type /topup" in late.error) == (False, True)
    async with starry.app.database.read() as session:
        status = (await session.scalars(select(Payment.status).where(Payment.stars.is_not(None)))).one()
    assert status is PaymentStatus.CANCELLED
    assert await balance(starry, ann) == 0


async def test_spent_stars_are_not_given_back(starry: World) -> None:
    ann, admin = starry.person(), starry.admin
    await ann.start()
    await ann.send("/topup 5")
    await ann.tap(await ann.wait_for_text("Charge $5.00"), "Telegram Stars")
    assert (await ann.pay(await ann.wait(lambda message: "invoice" in message.wire))).ok
    await ann.wait_for_text("$5.00 is in your balance")
    async with starry.app.database.transaction() as session:
        customer = (await session.scalars(select(Customer).where(Customer.telegram_id == ann.id))).one()
        await ledger.transfer(
            session,
            operation="spent",
            debit=ledger.Side(AccountKind.BALANCE, customer.id),
            credit=ledger.Side(AccountKind.CORRECTIONS),
            amount=1,
            about=ledger.About("correction", note="test"),
            now=starry.clock.now(),
        )
    await admin.start()
    await admin.send("/stars")
    await admin.wait_for_text("Paid in Telegram Stars")
    await admin.press("250 = $5.00")
    await admin.wait_for_text("250 = $5.00", "Ann")
    await admin.press("Give 250 Stars back")
    await admin.wait_for_text("holds less than that by now")
    async with starry.app.database.read() as session:
        refunded = await session.scalar(select(func.sum(Payment.refunded)))
    assert refunded == 0


async def test_stars_given_back_by_telegram_itself_leave_the_balance(starry: World) -> None:
    ann, admin = starry.person(), starry.admin
    await admin.start()
    await ann.start()
    await ann.send("/topup 5")
    await ann.tap(await ann.wait_for_text("Charge $5.00"), "Telegram Stars")
    assert (await ann.pay(await ann.wait(lambda message: "invoice" in message.wire))).ok
    await ann.wait_for_text("$5.00 is in your balance")
    async with starry.app.database.read() as session:
        charge = await session.scalar(select(Payment.provider_id).where(Payment.stars.is_not(None)))
    async with Bot(starry.telegram.token, base_url=f"{starry.app.settings.telegram_api_url}/bot") as elsewhere:
        await elsewhere.refund_star_payment(ann.id, str(charge))
    await ann.wait_for_text("250 Telegram Stars were given back", "$5.00 left")
    await admin.wait_for_text("Telegram gave 250 Stars back to Ann")
    assert await balance(starry, ann) == 0
    async with starry.app.database.read() as session:
        people = set(await session.scalars(select(Customer.telegram_id)))
    assert people == {ann.id, admin.id}


async def test_no_stars_are_offered_without_a_rate(world: World) -> None:
    ann = world.person()
    await ann.start()
    await ann.send("/topup 5")
    ways = await ann.wait_for_text("Charge $5.00")
    assert not any("Stars" in button.text for button in ways.buttons)

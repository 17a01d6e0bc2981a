"""What people do while the product dies under them, and what must have come of it, each once."""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast

from sqlalchemy import select, update

from billing import ledger, vouchers
from billing.clock import Month
from billing.ledger import Balances
from billing.models import IN_FLIGHT, Card, Customer, Invoice, InvoiceKind, Payment, PaymentStatus
from bot.demo.telegram import Person
from cloud.models import Deployment, State
from tests.crash.house import PATIENCE, House
from tests.flows.test_pay import invoice
from tests.flows.world import ADMIN, KEY, VISA

HURRY_SECONDS = 0.7
_A_WHILE = timedelta(seconds=65)
"""A payment whose result is unknown is asked about after a minute (rules.md 6.6)."""
_AT_LEAST = 20
"""Looks after which it moves on anyway: for a lease that a dead process may have left."""

Act = Callable[[House, Person], Awaitable[object]]


@dataclass(frozen=True)
class Flow:
    """One thing that somebody does.

    Attributes:
        prepare: what must be before; nothing dies meanwhile.
        act: what is done while the product dies once; returns when its end was seen.
        check: what must be afterwards.
        again: how often the same person does it, before a new one comes.
        hurry: whether the clock may be moved on when something waits for its time.
        outside: calls to the outside that it makes: before and after each of them it must have died.
    """

    prepare: Act
    act: Act
    check: Act
    again: int = 1
    hurry: bool = True
    outside: tuple[str, ...] = ()


# --- what was


async def of(house: House, person: Person) -> Customer:
    async with house.database.read() as session:
        return (await session.scalars(select(Customer).where(Customer.telegram_id == person.id))).one()


async def money(house: House, person: Person) -> Balances:
    customer = await of(house, person)
    async with house.database.read() as session:
        return await ledger.balances(session, customer.id)


async def charged(house: House, person: Person) -> list[int]:
    """What Stripe took from a person, and what the books say of it, which is the same."""
    customer = await of(house, person)
    async with house.database.read() as session:
        rows = list(await session.scalars(select(Payment).where(Payment.customer_id == customer.id)))
    assert not [row for row in rows if row.status in IN_FLIGHT]
    paid = sorted(row.amount for row in rows if row.status is PaymentStatus.SUCCEEDED)
    charges = house.stripe.control.charges()
    taken = sorted(one["amount"] for one in charges if one["customer"] == customer.provider_id)
    assert taken == paid
    return paid


def told(person: Person, *parts: str, most: int = 2) -> None:
    """A fact was told, and at most once more."""
    texts = [message.text for message in person.messages if message.from_bot]
    found = [text for text in texts if all(part in text for part in parts)]
    assert 1 <= len(found) <= most, (parts, texts)


def mails(house: House, person: Person) -> Counter[str]:
    """The mails that somebody got, by their Message-ID: those who sort mail take two of the same for one."""
    return Counter(mail.header("Message-ID") for mail in house.box.messages(address(person)))


def mailed(house: House, person: Person, before: Counter[str]) -> None:
    """One mail more has come, and at most once more."""
    new = mails(house, person) - before
    assert (len(new), new.total() <= 2) == (1, True), new


# --- what is done


def address(person: Person) -> str:
    return f"person-{person.id}@example.com"


async def has_address(house: House, person: Person) -> None:
    async with house.database.transaction() as session:
        mine = Customer.telegram_id == person.id
        await session.execute(update(Customer).where(mine).values(email=address(person)))


async def sees(person: Person, *parts: str) -> Any:
    return await person.wait_for_text(*parts, timeout_s=PATIENCE)


async def arrives(house: House, person: Person) -> None:
    async with house.database.transaction() as session:
        # A card is one customer's: those who had it before have no more use for it.
        await session.execute(update(Customer).values(default_card_id=None))
        await session.execute(update(Card).values(removed_at=house.clock.now()))
    await person.start()
    await sees(person, "Hello")


async def has_key(house: House, person: Person) -> None:
    await arrives(house, person)
    await person.send(f"/sshkey {KEY}")
    await sees(person, "Key added")


async def code(house: House, person: Person, amount: int = 1000) -> str:
    async with house.database.transaction() as session:
        made = await vouchers.issue(
            session, amount=amount, batch=f"for {person.id}", actor=ADMIN, now=house.clock.now()
        )
    return made.codes[0]


async def has_voucher_money(house: House, person: Person, amount: int = 1000) -> None:
    await has_key(house, person)
    await person.send(f"/voucher {await code(house, person, amount)}")
    await sees(person, "Voucher redeemed")


async def adds_card(house: House, person: Person, card: str = VISA) -> None:
    await person.send("/addcard")
    house.pay_page(await sees(person, "payment page"), card=card)
    await sees(person, "is saved")


async def has_one_card(house: House, person: Person) -> None:
    customer = await of(house, person)
    async with house.database.read() as session:
        cards = list(await session.scalars(select(Card).where(Card.customer_id == customer.id)))
    assert [card.removed_at for card in cards] == [None]
    assert customer.default_card_id == cards[0].id
    told(person, "is saved")


async def tops_up(house: House, person: Person) -> None:
    await person.send("/topup 10")
    house.pay_page(await sees(person, "Charge $10.00"))
    await sees(person, "$10.00 is in your balance")


async def has_ten(house: House, person: Person) -> None:
    assert await charged(house, person) == [1000]
    assert (await money(house, person)).balance == 1000
    told(person, "$10.00 is in your balance")


async def redeems(house: House, person: Person) -> None:
    await person.send(f"/voucher {await code(house, person)}")
    await sees(person, "oucher", "$10.00")


async def has_redeemed(house: House, person: Person) -> None:
    assert (await money(house, person)).voucher == 1000
    told(person, "oucher", "$10.00")


def machine(person: Person) -> str:
    return f"vm-{person.id}"


async def deploys(_: House, person: Person) -> None:
    await person.send(f"/deploy vm small {machine(person)}")
    await sees(person, "held until")
    await person.press(f"Deploy {machine(person)}")
    await sees(person, machine(person), "success")


async def states(house: House, person: Person) -> list[State]:
    customer = await of(house, person)
    async with house.database.read() as session:
        return list(await session.scalars(select(Deployment.state).where(Deployment.customer_id == customer.id)))


async def has_one_machine(house: House, person: Person) -> None:
    assert await states(house, person) == [State.SUCCESS]
    assert house.machines().count(machine(person)) == 1


async def has_machine(house: House, person: Person) -> None:
    await has_voucher_money(house, person)
    await deploys(house, person)


async def deletes(_: House, person: Person) -> None:
    await person.send(f"/delete {machine(person)}")
    await sees(person, "Delete", machine(person))
    await person.press(f"Delete {machine(person)}")
    await sees(person, machine(person), "deleted")


async def has_no_machine(house: House, person: Person) -> None:
    assert await states(house, person) == [State.DELETED]
    assert machine(person) not in house.machines()


async def owes(house: House, person: Person) -> None:
    """An invoice of $9.00 that nobody wishes to be settled, and a card."""
    await arrives(house, person)
    await adds_card(house, person)
    await house.settled()  # a new card settles what is open: not what comes now
    await invoice(cast("Any", house), person, 900)


async def pays(house: House, person: Person) -> None:
    (row,) = await invoices(house, person)
    await person.send(f"/pay {row.number}")
    await sees(person, row.number, "$9.00")
    await person.press("Pay $9.00")
    await sees(person, "$9.00", "aid")


async def invoices(house: House, person: Person) -> list[Invoice]:
    customer = await of(house, person)
    async with house.database.read() as session:
        mine = Invoice.customer_id == customer.id, Invoice.kind == InvoiceKind.INVOICE
        return list(await session.scalars(select(Invoice).where(*mine).order_by(Invoice.id)))


async def has_paid(house: House, person: Person) -> None:
    assert await charged(house, person) == [900]
    assert [row.due for row in await invoices(house, person)] == [0]


async def lives_on_a_card(house: House, person: Person) -> None:
    await has_key(house, person)
    await adds_card(house, person)
    await deploys(house, person)
    await has_address(house, person)


async def a_month_goes_by(house: House, person: Person) -> None:
    before, letters = len(await invoices(house, person)), mails(house, person)
    by = Month.of(house.clock.now()).end - house.clock.now() + timedelta(minutes=11)
    house.clock.move(by)
    house.stripe.control.tick()
    await house.settled()
    assert len(await invoices(house, person)) == before + 1
    mailed(house, person, letters)


async def has_paid_each_month_once(house: House, person: Person) -> None:
    rows = await invoices(house, person)
    assert [row.due for row in rows] == [0] * len(rows)
    assert set(Counter(row.month for row in rows).values()) == {1}
    assert await charged(house, person) == sorted(row.total for row in rows)
    told(person, f"{rows[-1].number} for ")
    told(person, f"{rows[-1].number} is paid")


async def does_not_pay(house: House, person: Person) -> None:
    await arrives(house, person)
    await has_address(house, person)
    await invoice(cast("Any", house), person, 900)
    await house.settled()


async def another_month_goes_by(house: House, person: Person) -> None:
    """Who has no machine is reminded once a month, for a year (rules.md 9.1)."""
    before, letters = len(reminders(person)), mails(house, person)
    by = timedelta(days=31)
    house.clock.move(by)
    house.stripe.control.tick()
    await house.settled()
    new = reminders(person)[before:]
    assert 1 <= len(new) <= 2, new
    mailed(house, person, letters)


def reminders(person: Person) -> list[str]:
    return [message.text for message in person.messages if message.from_bot and "unpaid" in message.text.lower()]


async def owes_as_before(house: House, person: Person) -> None:
    assert [row.due for row in await invoices(house, person)] == [900]
    assert await charged(house, person) == []


FLOWS = {
    "add card": Flow(arrives, adds_card, has_one_card, outside=("POST /v1/checkout/sessions", "sendMessage")),
    "top up": Flow(arrives, tops_up, has_ten, outside=("POST /v1/checkout/sessions", "sendMessage")),
    "redeem": Flow(arrives, redeems, has_redeemed, hurry=False, outside=("sendMessage",)),
    "deploy": Flow(
        has_voucher_money, deploys, has_one_machine, hurry=False, outside=("machine's create", "editMessageText")
    ),
    "pay": Flow(owes, pays, has_paid, outside=("POST /v1/payment_intents", "editMessageText")),
    "delete": Flow(has_machine, deletes, has_no_machine, hurry=False, outside=("machine's delete", "editMessageText")),
    "monthly run": Flow(
        lives_on_a_card,
        a_month_goes_by,
        has_paid_each_month_once,
        again=1000,
        outside=("POST /v1/payment_intents", "sendDocument", "mail"),
    ),
    "remind": Flow(does_not_pay, another_month_goes_by, owes_as_before, again=10, outside=("sendDocument", "mail")),
}


@asynccontextmanager
async def dying(house: House, done: list[str]) -> AsyncIterator[None]:
    """Have the product die once, at the next point that is not done; `done` gets its name."""
    house.armed.write_text("".join(f"{point}\n" for point in done))
    try:
        yield
    finally:
        lines = house.armed.read_text().splitlines()
        house.armed.unlink()
        done[:] = [line for line in lines if line != "!"]


async def at_rest(house: House) -> None:
    """Wait until nothing is left to do, and the fate of every payment is known."""
    async with asyncio.timeout(2 * PATIENCE):
        while True:
            await house.settled()
            async with house.database.read() as session:
                if not (await session.scalars(select(Payment.id).where(Payment.status.in_(IN_FLIGHT)))).all():
                    return
            await asyncio.sleep(0.1)


async def hurry(house: House, seconds: float = HURRY_SECONDS) -> None:
    """Move the clock on when something waits for its time: not while there is work, of which that would make more."""
    with suppress(asyncio.CancelledError):
        for look in itertools.count(1):
            await asyncio.sleep(seconds)
            for replica in house.replicas:
                await replica.answers()
            if await house.is_quiet() or look % _AT_LEAST == 0:
                house.clock.move(_A_WHILE)
                house.stripe.control.tick()

"""Two PostgreSQL servers; the first dies in the middle of the work, the second takes over, the product goes on."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select

from billing.clock import Month
from billing.models import Customer, Invoice
from bot import migrate
from bot.demo.telegram import ChatMessage, Person
from cloud.models import State
from tests import postgres
from tests.crash.flows import adds_card, at_rest, charged, has_key, hurry, invoices, machine, states, told
from tests.crash.house import PATIENCE, House, open_house, say
from tests.flows.test_pay import give_balance


@pytest.fixture
def pair() -> Iterator[postgres.Pair]:
    try:
        with postgres.pair() as started:
            started.first.execute("CREATE DATABASE shop")
            yield started
    except postgres.Missing as missing:
        pytest.skip(str(missing))


async def moves_in(house: House, person: Person, *, with_card: bool) -> None:
    """Somebody with a machine, and a card or a balance."""
    await has_key(house, person)
    if with_card:
        await adds_card(house, person)
    else:
        await give_balance(house, person, 10_000)  # type: ignore[arg-type]
    await person.send(f"/deploy vm small {machine(person)}")
    await person.wait_for_text("held until", timeout_s=PATIENCE)
    await person.press(f"Deploy {machine(person)}")
    await person.wait_for_text(machine(person), "success", timeout_s=PATIENCE)


async def fail_over(house: House, pair: postgres.Pair, pages: Sequence[ChatMessage]) -> None:
    """Lose the first server; a while later the second takes over. People pay on their pages before and meanwhile."""
    half = len(pages) // 2
    for page in pages[:half]:
        house.pay_page(page)
    await asyncio.to_thread(pair.lose_the_first)
    for page in pages[half:]:
        house.pay_page(page)
    await asyncio.sleep(1)
    await asyncio.to_thread(pair.promote)
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                async with house.database.transaction() as session:
                    await session.scalar(select(func.count()).select_from(Customer))
            except Exception:  # noqa: BLE001 whatever it is: it is not back yet
                await asyncio.sleep(0.1)
            else:
                return


async def wants_to_charge(person: Person) -> ChatMessage:
    """Somebody who has the page to charge the balance open before them."""
    await person.send("/topup 10")
    return await person.wait_for_text("Charge $10.00", timeout_s=PATIENCE)


async def count(house: House) -> int:
    async with house.database.read() as session:
        return await session.scalar(select(func.count()).select_from(Invoice)) or 0


@pytest.mark.slow
@pytest.mark.parametrize("when", [1, 40], ids=["as it begins", "in its middle"])
async def test_the_primary_dies_during_payments_and_the_monthly_run(
    tmp_path: Path, pair: postgres.Pair, when: int
) -> None:
    """Nothing that was committed is lost, nothing is done twice, and nobody has to start anything again."""
    url = pair.url("shop")
    await migrate.upgrade(url)
    async with open_house(tmp_path, url, PROVISION_MINUTES="600") as house:
        for _ in range(2):
            await house.add_replica()
        people = [house.person(100 + number, f"Ann {number}") for number in range(8)]
        for person in people:
            # The last of them: whoever comes takes the card from those before.
            await moves_in(house, person, with_card=person is people[-1])
        await house.settled()
        month = Month.of(house.clock.now())
        house.clock.move_to(month.end - timedelta(minutes=1))
        await house.settled()
        payers = people[1:5]
        pages = [await wants_to_charge(person) for person in payers]
        house.clock.move_to(month.end + timedelta(minutes=10, seconds=-1))
        house.stripe.control.tick()
        await asyncio.sleep(when / 20)
        made = await count(house)
        await fail_over(house, pair, pages)
        hurrying = asyncio.create_task(hurry(house))
        await at_rest(house)
        hurrying.cancel()
        for person in people:
            rows = await invoices(house, person)
            assert [(row.month, row.due) for row in rows] == [(month, 0)]
            expected = [rows[0].total] if person is people[-1] else [1000] if person in payers else []
            assert await charged(house, person) == expected
            if person in payers:
                told(person, "$10.00 is in your balance")
            assert await states(house, person) == [State.SUCCESS]
            await person.send(f"/invoice {rows[0].number}")
            await person.wait_for_text(rows[0].number, timeout_s=PATIENCE)
        assert Counter(house.machines()) == Counter(machine(person) for person in people)
        await house.check()
        assert house.kills == 0
        say(f"the primary died when {made} of {len(people)} invoices were made: nothing lost, nothing twice")

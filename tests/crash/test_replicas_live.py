"""Several real processes behind one PostgreSQL, killed again and again: everybody is served, and once."""

import asyncio
import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import select

from billing import ledger, vouchers
from billing.models import Customer
from bot.demo.telegram import Person
from cloud.models import Deployment, State
from tests.crash.house import PATIENCE, House, open_house, say
from tests.flows.world import ADMIN, KEY

FIRST = 100


async def make_codes(house: House, count: int) -> list[str]:
    async with house.database.transaction() as session:
        issued = await vouchers.issue(
            session, amount=1000, count=count, batch="crash", actor=ADMIN, now=house.clock.now()
        )
    return list(issued.codes)


async def buys(person: Person, code: str) -> None:
    """Everything from the first word to a machine that runs."""
    name = f"vm-{person.id}"
    await person.start()
    await person.wait_for_text("Hello", timeout_s=PATIENCE)
    await person.send(f"/sshkey {KEY}")
    await person.wait_for_text("Key", timeout_s=PATIENCE)
    await person.send(f"/voucher {code}")
    await person.wait_for_text("voucher", timeout_s=PATIENCE)
    await person.send(f"/deploy vm small {name}")
    await person.wait_for_text("held until", timeout_s=PATIENCE)
    await person.press(f"Deploy {name}")
    await person.wait_for_text(name, "success", timeout_s=PATIENCE)
    # Two at once: the second is handled after the first, whichever process has them.
    await person.send("/balance")
    await person.send("/vms")
    await person.wait_for_text(name, timeout_s=PATIENCE)


async def keep_killing(house: House, every_s: float, most: int) -> None:
    """One process after the other, when it serves again."""
    while house.kills < most:
        await asyncio.sleep(every_s)
        victim = random.choice(house.replicas)  # noqa: S311 chance for a test
        victim.kill()
        await asyncio.sleep(0.1)
        await victim.answers()


async def serve_and_kill(house: House, *, chats: int, every_s: float, most: int = 1000) -> str:
    """Serve so many chats meanwhile; return figures."""
    began = time.monotonic()
    codes = await make_codes(house, chats)
    people = [house.person(FIRST + number, f"Ann {number}") for number in range(chats)]
    killing = asyncio.create_task(keep_killing(house, every_s, most))
    try:
        await asyncio.gather(*(buys(person, code) for person, code in zip(people, codes, strict=True)))
    finally:
        killing.cancel()
        await asyncio.gather(killing, return_exceptions=True)
    for replica in house.replicas:
        await replica.answers()
    await house.settled()
    await assert_each_once(house, people)
    return f"{chats} chats, {house.kills} kills, {time.monotonic() - began:.0f} s"


async def assert_each_once(house: House, people: list[Person]) -> None:
    async with house.database.read() as session:
        rows = list(await session.scalars(select(Deployment)))
        assert Counter(row.state for row in rows) == {State.SUCCESS: len(people)}
        assert len({row.customer_id for row in rows}) == len(people)
        for customer in await session.scalars(select(Customer).where(Customer.telegram_id >= FIRST)):
            if customer.telegram_id != ADMIN:
                assert (await ledger.balances(session, customer.id)).voucher == 1000
    assert sorted(house.machines()) == sorted(f"vm-{person.id}" for person in people)
    await house.check()
    for person in people:
        texts = [message.text for message in person.messages if message.from_bot]
        assert any("Vouchers: $10.00" in text for text in texts), texts


async def test_two_processes_killed_in_turn_serve_everybody_once(tmp_path: Path, postgres_url: str) -> None:
    async with open_house(tmp_path, postgres_url) as house:
        for _ in range(2):
            await house.add_replica()
        say(await serve_and_kill(house, chats=8, every_s=0.7, most=4))


@pytest.mark.slow
@pytest.mark.parametrize("webhook", [True, False], ids=["webhook", "polling"])
async def test_200_chats_while_a_process_is_killed_every_few_seconds(
    tmp_path: Path, postgres_url: str, *, webhook: bool
) -> None:
    async with open_house(tmp_path, postgres_url, webhook=webhook) as house:
        for _ in range(2 if webhook else 3):
            await house.add_replica()
        say(await serve_and_kill(house, chats=200, every_s=4.0))
        assert house.kills > 2


@pytest.mark.slow
async def test_another_process_polls_when_the_one_that_does_falls_silent(tmp_path: Path, postgres_url: str) -> None:
    """As if its machine were cut off: it is not seen to have ended. When it is back it gives way."""
    async with open_house(tmp_path, postgres_url, webhook=False) as house:
        first = await house.add_replica()
        second = await house.add_replica()
        (code,) = await make_codes(house, 1)
        ann = house.person(FIRST)
        await ann.start()
        await ann.wait_for_text("Hello", timeout_s=PATIENCE)
        os.kill(first.pid, signal.SIGSTOP)
        silent = time.monotonic()
        await buys(ann, code)
        say(f"answered by another {time.monotonic() - silent:.1f} s after the first fell silent")
        os.kill(first.pid, signal.SIGCONT)
        await ann.send("/vms")
        await ann.wait_for_text("vm-100", timeout_s=PATIENCE)
        assert await second.stop() == 0
        await ann.send("/vms")
        await ann.wait_for_text("vm-100", timeout_s=PATIENCE)
        await house.settled()
        await assert_each_once(house, [ann])


async def test_sigterm_ends_a_process_soon_and_loses_nothing(tmp_path: Path, postgres_url: str) -> None:
    """With an answer to a person, and one to the product, on their way: ten seconds at most, and no claim is left."""
    async with open_house(tmp_path, postgres_url) as house:
        first = await house.add_replica()
        codes = await make_codes(house, 4)
        people = [house.person(FIRST + number) for number in range(4)]
        for person in people:
            await person.start()
        house.telegram.faults.add("slow", "sendMessage", times=0, seconds=30)
        await asyncio.gather(*(person.wait_for_text("Hello", timeout_s=PATIENCE) for person in people))
        for person, code in zip(people, codes, strict=True):
            await person.send(f"/voucher {code}")
        asked = time.monotonic()
        stopping = asyncio.create_task(first.stop())
        second = await house.add_replica()
        assert await stopping == 0
        say(f"ended {time.monotonic() - asked:.1f} s after SIGTERM")
        house.telegram.faults.clear()
        for person in people:
            await person.wait_for_text("voucher", timeout_s=PATIENCE)
        await house.settled()
        await house.check()
        assert await second.stop() == 0

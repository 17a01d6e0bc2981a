"""The demo as a visitor starts it, driven from outside over HTTP; machines are simulated here."""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from billing import checks
from billing.clock import Month
from billing.db import Database
from billing.models import Invoice, Payment, PaymentStatus
from billing.money import Currency
from bot.demo.clock import MovableClock
from cloud.models import Deployment, State
from tests.demo.outside import ANN, OLGA, ROOT, Demo, Person, running
from tests.flows.world import KEY

Step = Callable[[Demo, Person], Awaitable[object]]


async def pay(_: Demo, ann: Person) -> None:
    await ann.pays(await ann.sees("payment page"))


async def into_the_next_month(demo: Demo, _: Person) -> None:
    await demo.move("day")


def shortly_before_the_first(folder: Path) -> None:
    """Have the demo begin on a month's last day, so early that a card can be charged for its hours."""
    clock = MovableClock(folder / "clock")
    month = Month.of(clock.now() + timedelta(days=1)).next()
    clock.move_to(month.start - timedelta(hours=20))


# What Ann does, and what she sees then.
STORY: tuple[tuple[Step, tuple[str, ...]], ...] = (
    (lambda _, ann: ann.send("/start"), ("Hello",)),
    (lambda _, ann: ann.send("/prices"), ("$5.00",)),
    (lambda _, ann: ann.send(f"/sshkey {KEY}"), ("Key added",)),
    (lambda _, ann: ann.send("/deploy vm large web-1"), ("cannot be deployed yet", "card is missing")),
    (lambda _, ann: ann.press("Add a card"), ("payment page",)),
    (pay, ("Your order can go through now", "web-1", "$20.00", "held until")),
    (lambda _, ann: ann.press("Deploy web-1"), ("web-1", "success")),
    (into_the_next_month, ("INV-", "is paid", "Visa •4242")),
    (lambda _, ann: ann.send("/delete web-1"), ("Delete", "web-1")),
    (lambda _, ann: ann.press("Delete web-1"), ("web-1", "deleted")),
)


def processor_seconds() -> float:
    """What the processes that we started and that ended have used."""
    used = os.times()
    return used.children_user + used.children_system


async def books(folder: Path) -> tuple[list[Deployment], list[Invoice], list[Payment]]:
    """What is in the product's database, after asking it what must always be true."""
    database = Database(f"sqlite+aiosqlite:///{folder / 'product' / 'vmbot.sqlite3'}")
    try:
        async with database.read() as session:
            assert await checks.differences(session, currency=Currency.of("usd")) == []
            assert await checks.usage_differences(session) == []
            return (
                list(await session.scalars(select(Deployment))),
                list(await session.scalars(select(Invoice))),
                list(await session.scalars(select(Payment))),
            )
    finally:
        await database.close()


async def assert_one_of_each(demo: Demo) -> None:
    """One machine, one charge, one invoice: whatever happened on the way."""
    (charge,) = await demo.charges()
    await demo.stop()
    deployments, invoices, payments = await books(demo.folder)
    assert [(row.name, row.state) for row in deployments] == [("web-1", State.DELETED)]
    assert [(row.due, row.total) for row in invoices] == [(0, charge["amount"])]
    assert [(row.status, row.amount) for row in payments] == [(PaymentStatus.SUCCEEDED, charge["amount"])]


async def test_the_story_from_outside_within_a_minute(tmp_path: Path) -> None:
    """With what a second start finds: chats, card, invoice, the clock."""
    began = processor_seconds()
    folder = tmp_path / "demo"
    shortly_before_the_first(folder)
    async with running(folder) as demo:
        page = await demo.client.get(demo.url)
        assert "Add a person" in page.text
        assert {person["id"] for person in await demo.get("/telegram/client/people")} == {ANN, OLGA}
        ann = demo.person()
        for act, seen in STORY:
            await act(demo, ann)
            await ann.sees(*seen)
        issued = next(m for m in await ann.messages() if m.text.startswith("🧾 Invoice INV-"))
        document = issued.wire["document"]
        assert document["file_name"].startswith("INV-")
        pdf = await demo.client.get(f"{demo.url}/telegram/client/files/{document['file_id']}")
        assert pdf.content.startswith(b"%PDF")
        before = await ann.messages()
        now = (await demo.get("/world"))["now"]
        product = demo.product
        await demo.stop()
        assert "Stopped." in demo.said
        with pytest.raises(ProcessLookupError):
            os.kill(product, 0)
    assert processor_seconds() - began < 60  # on an idle machine half of it, also by the clock on the wall
    async with running(folder) as demo:
        ann = demo.person()
        assert [message.text for message in await ann.messages()] == [message.text for message in before]
        assert (await demo.get("/world"))["now"] >= now
        await ann.send("/cards")
        await ann.sees("Visa •4242")
        await ann.send("/invoices")
        await ann.sees("Your invoices")
        await assert_one_of_each(demo)


@pytest.mark.slow
@pytest.mark.parametrize("when", ["meanwhile", "after"])
async def test_kill_9_at_every_step_of_the_story(tmp_path: Path, when: str) -> None:
    """The product is killed as soon as each act is done, before its answer is awaited; or after each answer."""
    shortly_before_the_first(tmp_path / "demo")
    async with running(tmp_path / "demo") as demo:
        ann = demo.person()
        for act, seen in STORY:
            await act(demo, ann)
            if when == "meanwhile":
                await demo.kill_product()
            await ann.sees(*seen)
            if when == "after":
                await demo.kill_product()
        await demo.move("hour")
        await assert_one_of_each(demo)
        assert demo.said.count("ended (by SIGKILL)") == len(STORY)


async def test_the_clock_moves_forward_one_move_at_a_time(tmp_path: Path) -> None:
    async with running(tmp_path / "demo") as demo:
        before = datetime.fromisoformat((await demo.get("/world"))["now"])
        assert await demo.post("/world/move", {"by": "day"}) == {"moving": True}
        assert await demo.post("/world/move", {"by": "day"}) == {"moving": False}
        assert (await demo.get("/world"))["busy"]
        await demo.arrived()
        moved = datetime.fromisoformat((await demo.get("/world"))["now"]) - before
        assert timedelta(days=1) <= moved < timedelta(days=1, minutes=5)
        nonsense: tuple[Any, ...] = ({"by": "year"}, {"by": -1}, {}, [])
        for wrong in nonsense:
            answer = await demo.client.post(f"{demo.url}/world/move", json=wrong)
            assert answer.status_code == 400
        other = await demo.client.post(f"{demo.url}/world/move", json={"by": "day"}, headers={"origin": "http://evil"})
        assert other.status_code == 403
        back = await demo.client.get(f"{demo.url}/t.me/cloud_desk_bot?start=v_A-B")
        assert (back.status_code, back.headers["location"]) == (303, "/?start=v_A-B")


async def test_one_demo_at_a_time_in_a_folder_and_clean_removes_it(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    command = (sys.executable, "-m", "bot", "demo", "--folder", str(folder))
    async with running(folder) as demo:
        second = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
        said, _ = await second.communicate()
        assert second.returncode == 1
        assert demo.url in said.decode()
        await demo.stop(signal.SIGTERM)
        assert demo.process.returncode == 0
    cleaning = await asyncio.create_subprocess_exec(*command, "--clean", cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    said, _ = await cleaning.communicate()
    assert (cleaning.returncode, folder.exists()) == (0, False)
    assert str(folder) in said.decode()

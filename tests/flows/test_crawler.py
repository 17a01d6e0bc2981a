"""Every button reachable from /start, as a customer and as an administrator: no error, no dead end (issue 4)."""

import logging
from collections import Counter, deque
from dataclasses import fields
from datetime import UTC, datetime
from enum import StrEnum

import pytest
from sqlalchemy import update

from billing.models import Customer, Notice, NoticeStatus
from bot.callbacks import LONGEST, known, unpack
from bot.demo.telegram import ChatMessage, Person
from tests.flows import presses
from tests.flows.test_order import with_card
from tests.flows.world import DECLINES_LATER, World

TEXT, CAPTION = 4096, 1024
_EACH = 2
"""So many buttons of one kind, with different choices in them, are pressed."""
_LATE = (
    "ApproveAll",
    "Approve",
    "SetMaintenance",
    "Revoke",
    "Drop",
    "Reject",
    "Discard",
    "Remove",
    "Delete",
    "Speak",
    "Close",
)
"""What ends something waits until all else was seen, in this order."""
ELSEWHERE = {
    "DeleteUnpaid": "asked after months of debt",
    "DeleteUnpaidNow": "asked after months of debt",
    "GiveTime": "asked after months of debt",
    "OpenDocuments": "in reminders",
    "OrderAgain": "after a failure",
    "ShowQuote": "when an order waited",
    "SkipEmail": "where mail is set up",
    "ForgetEmail": "with an address",
    "TopupAgain": "after a decline",
    "TopupByStars": "where Stars are taken",
    "StarsPaid": "where Stars are taken",
    "ShowStars": "where Stars are taken",
    "RefundStars": "where Stars are taken",
    "PayOtherwise": "when the bank did not answer",
    "RemovedByHand": "of what a former system made",
    "ShowFormer": "where a former system was taken over",
    "SendAgain": "where a former system was taken over",
    "Missing": "where a former system was taken over",
}
"""Buttons that this world has no reason to show."""


class Crawler:
    """Presses one button after another, those first that end nothing."""

    def __init__(self, world: World, person: Person) -> None:
        self.world = world
        self.person = person
        self.seen: Counter[tuple[object, ...]] = Counter()
        self._noted: set[str] = set()
        self._waiting: list[deque[str]] = [deque() for _ in range(len(_LATE) + 1)]
        self._looked = -1

    async def type(self, *texts: str) -> None:
        for text in texts:
            await self.person.send(text)
            await self.person.wait()
            await presses.handled(self.world)
            self.look()

    async def run(self, *, to_the_end: bool) -> None:
        """Press what ends nothing, and then, to the end, all else."""
        queues = self._waiting if to_the_end else self._waiting[:1]
        while any(queues):
            data = next(queue for queue in queues if queue).popleft()
            await presses.press(self.world, self.person, data, self.person.last.id)
            self.look()
        await self.world.settled(timeout_s=120)
        self.look()

    def look(self) -> None:
        """Examine every screen that came or changed, and note its buttons."""
        fresh = [message for message in self.person.messages if message.from_bot and message.revision > self._looked]
        for message in fresh:
            examine(message)
            for button in message.buttons:
                if button.data:
                    self._note(button.data)
        self._looked = max([self._looked, *(message.revision for message in fresh)])

    def _note(self, data: str) -> None:
        press = unpack(data)
        choices = (getattr(press, field.name) for field in fields(press))
        kind = (type(press).__name__, *(choice for choice in choices if isinstance(choice, StrEnum)))
        if data not in self._noted and self.seen[kind] < _EACH:
            self._noted.add(data)
            self.seen[kind] += 1
            late = [place for place, part in enumerate(_LATE, start=1) if part in type(press).__name__]
            self._waiting[late[0] if late else 0].append(data)


def examine(message: ChatMessage) -> None:
    """A screen says something, within the limits, and has a way on."""
    length = len(message.text.encode("utf-16-le")) // 2
    assert 0 < length <= (TEXT if "text" in message.wire else CAPTION), message.text
    # Who closed their account has nothing to tap: typing is the way back.
    assert message.buttons or "/start" in message.text, message.text
    for button in message.buttons:
        assert 0 < len(button.text) <= LONGEST * 2
        assert button.url or button.copied or 0 < len(button.data.encode()) <= LONGEST


@pytest.mark.slow
async def test_every_button_leads_somewhere(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Customer and administrator walk through a world in which there is one of nearly everything."""
    await furnish(world)
    ann, olga = Crawler(world, world.person(1)), Crawler(world, world.admin)
    with caplog.at_level(logging.WARNING, logger="bot"):
        await olga.type("/writeoff INV-2026-000001 gone")
        await ann.type("/start")
        await ann.run(to_the_end=False)
        await world.person(1).send("/addcard")
        await world.pay_page(await world.person(1).wait_for_text("payment page"), card="5555555555554444")
        await world.person(1).wait_for_text("is saved")
        await world.settled()
        await ann.type("/cards", "/deploy vm small more", "/deleteall")
        await ann.run(to_the_end=False)
        await olga.type(
            "/start",
            "/setprice vm small 6.00",
            "/announce <Hello> & welcome",
            "/refund INV-2026-000001",
            "/writeoff INV-2026-000001 gone",
        )
        await olga.run(to_the_end=False)
        await olga.run(to_the_end=True)
        await ann.run(to_the_end=True)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
    missed: set[object] = {kind.__name__ for kind in known().values() if kind in presses.ROUTES.presses}
    missed -= {kind[0] for kind in [*ann.seen, *olga.seen]}
    assert not missed - ELSEWHERE.keys(), sorted(map(str, missed - ELSEWHERE.keys()))


async def furnish(world: World) -> None:
    """Two customers with machines, invoices, a debt, cards, a request; vouchers; messages that went astray."""
    ann = await with_card(world, world.person(1, "Ann <3 & Co" + "n" * 50), DECLINES_LATER)
    for order in ("vm small web", "k8s small lab 2"):
        await ann.send(f"/deploy {order}")
        await ann.wait_for_text("held until")
        await ann.press(f"Deploy {order.split()[2]}")
        await ann.wait_for_text(order.split()[2], "success")
    bob = await with_card(world, world.person(2, "Bob"))
    for number in (1, 2):
        await bob.send(f"/apply {number}.00 for a meetup")
        await bob.wait_for_text("$")
    olga = world.admin
    await olga.start()
    await olga.send("/newvoucher 3.00 12")
    await olga.wait_for_text("12 vouchers")
    await olga.send("/grant 77")
    await olga.wait_for_text("is an administrator now")
    await world.move_to(datetime(2026, 2, 1, 0, 11, tzinfo=UTC))
    await ann.wait_for_text("INV-2026-000001")
    await olga.send("/credit 1 1.00 sorry")
    await world.settled()
    async with world.app.database.transaction() as session:
        await session.execute(update(Notice).where(Notice.id == 1).values(status=NoticeStatus.PARKED, error="lost"))
        await session.execute(update(Customer).values(budget=100_000, billing_name="Ann & Co"))
    await bob.block()
    await olga.send("/announce x")
    await olga.wait_for_text("everybody")
    await olga.press("Send to")
    await olga.wait_for_text("Your announcement is out")
    await world.settled()

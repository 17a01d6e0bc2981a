"""Three people who do not pay, through the real application (rules.md 9; issue 3, "the mail of a reminder").

Ann is warned and loses all. Bob cannot be warned, and somebody has to decide. Eve pays in the last week.
"""

import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import select, update

from billing.clock import ManualClock
from billing.models import Card, Customer
from bot.demo.mail import File, MailBox, Received, serve_smtp
from bot.demo.telegram import ChatMessage, Person
from cloud.models import Deployment
from tests.billing.builders import at
from tests.flows.world import DECLINES_LATER, KEY, VISA, World, open_world

MASTERCARD, DEBIT = "5555555555554444", "4000056655665556"
JANUARY = "$3.84"
"""516 hours at $5.00 a month."""


@dataclass
class Street:
    """The world and its mail box."""

    world: World
    box: MailBox

    async def moves_in(self, person_id: int, name: str, machine: str, card: str) -> Person:
        """Somebody with a machine, who lost the card that they ordered with unless it is one that will decline."""
        person = self.world.person(person_id, name)
        await person.start()
        await person.send(f"/sshkey {KEY}")
        await person.wait_for_text("Key added")
        await person.send("/addcard")
        await self.world.pay_page(await person.wait_for_text("payment page"), card=card)
        await person.wait_for_text("is saved")
        await person.send(f"/deploy vm small {machine}")
        await person.wait_for_text("$5.00", machine)
        await person.press(f"Deploy {machine}")
        await person.wait_for_text(machine, "success")
        if card != DECLINES_LATER:
            async with self.world.app.database.transaction() as session:
                theirs = (
                    Card.customer_id == select(Customer.id).where(Customer.telegram_id == person_id).scalar_subquery()
                )
                await session.execute(update(Card).where(theirs).values(removed_at=self.world.clock.now()))
        return person

    async def has_address(self, person: Person, email: str) -> None:
        """A confirmed one."""
        async with self.world.app.database.transaction() as session:
            await session.execute(update(Customer).where(Customer.telegram_id == person.id).values(email=email))

    async def at(self, text: str) -> None:
        await self.world.move_to(at(text))

    async def state(self, machine: str) -> tuple[str, str]:
        async with self.world.app.database.read() as session:
            row = (await session.scalars(select(Deployment).where(Deployment.name == machine))).one()
        return row.state.value, row.power.value

    def mail(self, subject: str) -> Received:
        """The newest mail to Ann with words in its subject."""
        found = [mail for mail in self.box.messages("ann@example.com") if subject in mail.subject]
        assert found, [mail.subject for mail in self.box.messages()]
        return max(found, key=lambda mail: mail.number)


def texts(person: Person, part: str) -> list[str]:
    return [message.text for message in person.messages if message.from_bot and part in message.text]


def newest(person: Person, part: str) -> ChatMessage:
    return [message for message in person.messages if message.from_bot and part in message.text][-1]


def pdf_text(content: bytes) -> str:
    tool = shutil.which("pdftotext")
    if tool is None:
        pytest.skip("pdftotext is missing (Debian package poppler-utils)")
    shown = subprocess.run([tool, "-", "-"], input=content, capture_output=True, check=True)  # noqa: S603 our own file
    return shown.stdout.decode()


@pytest.fixture
async def street(tmp_path: Path, sqlite_url: str, clock: ManualClock) -> AsyncIterator[Street]:
    box = MailBox(tmp_path / "mail")
    async with (
        serve_smtp(box) as port,
        open_world(
            tmp_path,
            sqlite_url,
            clock,
            smtp_url=f"smtp://127.0.0.1:{port}",
            mail_from="VM Shop <shop@example.com>",
            suspend_days="7",
        ) as world,
    ):
        await world.admin.start()
        yield Street(world, box)
        await world.check()


async def test_unpaid(street: Street) -> None:
    ann = await street.moves_in(1, "Ann", "web-1", DECLINES_LATER)
    await street.has_address(ann, "ann@example.com")
    bob = await street.moves_in(2, "Bob", "db-1", MASTERCARD)
    eve = await street.moves_in(3, "Eve", "lab-1", DEBIT)
    await _at_once(street, ann, eve)
    await _weekly(street, ann)
    await bob.block()
    await _the_last_week(street, ann, eve)
    await _deleted(street, ann)
    await _decided(street, bob)
    assert await street.state("lab-1") == ("success", "on")


async def _at_once(street: Street, ann: Person, eve: Person) -> None:
    """9.1: told in the chat and by mail that it was not paid, with the invoice."""
    await street.at("2026-02-01 00:11")
    issued = newest(ann, JANUARY)
    assert issued.text
    declined = newest(ann, "declined")
    assert declined.file_name == "INV-2026-000001.pdf"
    mail = street.mail("could not be charged")
    assert [file.name for file in mail.files] == ["INV-2026-000001.pdf"]
    assert "chat" in mail.text
    unpaid = newest(eve, "Unpaid")
    assert unpaid.file_name.startswith("INV-2026-")
    assert "no card can be charged" in unpaid.text


async def _weekly(street: Street, ann: Person) -> None:
    """9.1, A22: a reminder by chat and mail; the PDF that was received has number, total and lines."""
    await street.at("2026-02-08 09:01")
    (reminder,) = texts(ann, "Reminder. Unpaid")
    assert JANUARY in reminder
    assert "1 May 2026" in reminder
    assert "web-1" in reminder
    (file,) = street.mail("Reminder. Unpaid").files
    _is_invoice(file, "INV-2026-000001", "web-1", JANUARY)
    await street.at("2026-03-08 09:01")
    reminder = texts(ann, "Reminder. Unpaid")[-1]
    assert len(texts(ann, "Reminder. Unpaid")) == 2
    numbers = re.findall(r"INV-\d+-\d+", reminder)
    assert len(numbers) == 2
    assert "$8.84" in reminder
    assert sorted(file.name for file in street.mail("Reminder. Unpaid").files) == [
        f"{one}.pdf" for one in sorted(numbers)
    ]
    await ann.tap(newest(ann, "Reminder. Unpaid"), "All PDFs")
    await ann.wait(lambda message: message.file_name == f"{max(numbers)}.pdf")
    await ann.tap(newest(ann, "Reminder. Unpaid"), "Pay")
    await ann.wait_for_text("$8.84")


async def _the_last_week(street: Street, ann: Person, eve: Person) -> None:
    """C17, 9.5: off a week before; who pays gets it back at once and is warned no more."""
    await street.at("2026-04-24 09:31")
    assert "1 May 2026" in texts(ann, "Warning. Unpaid")[-1]
    assert await street.state("web-1") == ("success", "suspended")
    assert "lab-1" in texts(eve, "Powered off")[-1]
    await eve.send("/addcard")
    await street.world.pay_page(await eve.wait_for_text("payment page"), card=VISA)
    await eve.wait_for_text("Coming back now", "lab-1")
    assert await street.state("lab-1") == ("success", "on")
    await street.at("2026-04-30 09:01")
    assert "1 May 2026" in texts(ann, "Last warning. Unpaid")[-1]
    assert street.mail("Last warning").files
    assert texts(eve, "Last warning") == []


async def _deleted(street: Street, ann: Person) -> None:
    """9.2: on the day; the customer and the administrators are told."""
    assert await street.state("web-1") == ("success", "suspended")
    await street.at("2026-05-01 09:31")
    assert "You still owe" in texts(ann, "Deleted because invoices stayed unpaid: web-1")[-1]
    assert "You still owe" in street.mail("Deleted because").text
    assert await street.state("web-1") == ("deleted", "suspended")
    assert "Ann" in newest(street.world.admin, "Deleted: web-1").text


async def _decided(street: Street, bob: Person) -> None:
    """9.3, C12: he blocked the bot and has no address, so a person decides; a second tap finds it decided."""
    olga = street.world.admin
    question = newest(olga, "could not be told")
    assert "Bob" in question.text
    assert await street.state("db-1") == ("success", "suspended")
    await olga.tap(question, "Delete now")
    asked = await olga.wait_for_text("Delete everything of Bob", "db-1")
    await olga.tap(asked, "Yes, delete")
    await olga.wait_for_text("Being deleted: db-1")
    await street.world.settled()
    assert await street.state("db-1") == ("deleted", "suspended")
    await olga.tap(question, "30 more days")
    await olga.wait_for_text("nothing to decide any more")
    assert texts(bob, "Deleted because") == []


def _is_invoice(file: File, *parts: str) -> None:
    assert file.media_type == "application/pdf"
    text = pdf_text(file.content)
    for part in parts:
        assert part in text

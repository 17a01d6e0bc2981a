"""`/settings`, `/sshkey`, `/email`: what a person sets, with bad inputs, and closing the account."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, or_, select

from billing import accounts
from billing.clock import DAY, ManualClock
from billing.contacts import MAILS_A_DAY
from billing.models import Card
from bot.demo.mail import MailBox
from bot.demo.telegram import Person
from tests.flows.test_order import with_card, with_key
from tests.flows.world import KEY, World, open_mailing_world


@pytest.fixture
def box(tmp_path: Path) -> MailBox:
    return MailBox(tmp_path / "mail")


@pytest.fixture
async def mailing(tmp_path: Path, sqlite_url: str, clock: ManualClock, box: MailBox) -> AsyncIterator[World]:
    """A world that sends mail."""
    async with open_mailing_world(tmp_path, sqlite_url, clock, box) as world:
        yield world


def link_in(box: MailBox, address: str) -> str:
    """The payload of the link in the newest mail to an address."""
    match = re.search(r"\?start=(e_[\w-]+)", box.messages(address)[0].text)
    assert match is not None
    return match[1]


async def tap(person: Person, button: str) -> None:
    """Tap a button on the message that came or changed since the last act."""
    message = await person.wait(lambda found: any(button in each.text for each in found.buttons))
    await person.tap(message, button)


async def email_of(world: World, person: Person) -> str | None:
    async with world.app.database.read() as session:
        customer = await accounts.by_telegram_id(session, person.id)
        assert customer is not None
        return customer.email


async def test_what_is_no_address_is_asked_again(mailing: World, box: MailBox) -> None:
    ann = mailing.person()
    for text in ("ann", "ann@", "@example.com", "ann@example", "a b@example.com", "<b>@x.y>", "x" * 300):
        await ann.send(f"/email {text}")
        await ann.wait_for_text("❌", "Which e-mail address")
    await ann.send("ann@example.com")
    await ann.wait_for_text("I sent a mail to ann@example.com")
    assert len(box.messages()) == 1


async def test_an_address_counts_when_its_link_is_opened_by_its_owner(mailing: World, box: MailBox) -> None:
    ann, bob = mailing.person(1, "Ann"), mailing.person(2, "Bob")
    await ann.start()
    await tap(ann, "Settings")
    await tap(ann, "E-mail")
    await ann.wait_for_text("Which e-mail address")
    await ann.send("ann@example.com")
    await ann.wait_for_text("I sent a mail")
    assert await email_of(mailing, ann) is None
    await tap(ann, "Settings")
    await ann.wait_for_text("ann@example.com (open the link in the mail)")
    link = link_in(box, "ann@example.com")
    await bob.start(link)
    await bob.wait_for_text("does not work")
    await ann.start(link + "x")
    await ann.wait_for_text("does not work")
    for _ in range(2):
        await ann.start(link)
        await ann.wait_for_text("ann@example.com is confirmed")
    assert await email_of(mailing, ann) == "ann@example.com"
    assert await email_of(mailing, bob) is None
    await ann.send("/email")
    await ann.wait_for_text("Now: ann@example.com")
    await tap(ann, "Use no address")
    await ann.wait_for_text("no e-mail address any more")
    await ann.start(link)
    await ann.wait_for_text("does not work")
    assert await email_of(mailing, ann) is None


async def test_old_links_and_too_many_mails(mailing: World, box: MailBox) -> None:
    ann = mailing.person()
    await ann.send("/email one@example.com")
    await ann.wait_for_text("one@example.com")
    first = link_in(box, "one@example.com")
    await ann.send("/email two@example.com")
    await ann.wait_for_text("two@example.com")
    await ann.start(first)
    await ann.wait_for_text("does not work")
    mailing.clock.move(timedelta(days=2))
    await ann.start(link_in(box, "two@example.com"))
    await ann.wait_for_text("does not work")
    for number in range(MAILS_A_DAY):
        await ann.send(f"/email {number}@example.com")
        await ann.wait_for_text("I sent a mail")
    await ann.send("/email more@example.com")
    await ann.wait_for_text("enough mails for one day")
    mailing.clock.move(DAY + timedelta(seconds=1))
    await ann.send("/email more@example.com")
    await ann.wait_for_text("I sent a mail")


async def test_the_first_order_asks_for_an_address_once_and_can_be_skipped(mailing: World) -> None:
    ann = await with_card(mailing, mailing.person())
    for name in ("one", "two"):
        await ann.send(f"/deploy vm small {name}")
        await ann.wait_for_text("held until")
        await tap(ann, f"Deploy {name}")
        await ann.wait_for_text(name, "success")
        await mailing.settled()
    asked = [message for message in ann.messages if "Shall invoices and warnings come by mail" in message.text]
    assert len(asked) == 1
    await ann.tap(asked[0], "Skip")
    await ann.wait_for_text("/email sets one at any time")


async def test_without_a_mail_server_no_address_is_asked_for(world: World) -> None:
    ann = world.person()
    await ann.send("/email ann@example.com")
    await ann.wait_for_text("No mail is sent here")


async def test_billing_details_stand_on_the_next_invoice(world: World) -> None:
    ann = await with_card(world, world.person())
    await ann.send("/settings")
    await ann.wait_for_text("Name on invoices: as in Telegram")
    await tap(ann, "Billing details")
    await ann.wait_for_text("Name: not set")
    for field, bad, good in (
        ("Name", "x" * 201, "Ann & Sons <Ltd>"),
        ("Address", "\n".join("123456789"), "1 Road\n\nTown"),
        ("Tax id", "9" * 65, "GB 123"),
    ):
        await tap(ann, f"✏️ {field}")
        await ann.wait_for_text("stand on your invoices")
        await ann.send_document("a.txt", b"no words")
        await ann.wait_for_text("no text in that message")
        await ann.send(bad)
        await ann.wait_for_text("too long")
        await ann.send(good)
        await ann.wait_for_text(f"{field}:")
    await ann.wait_for_text("Ann & Sons <Ltd>", "1 Road\nTown", "GB 123")
    await tap(ann, "✏️ Tax id")
    await ann.wait_for_text("Now: GB 123")
    await tap(ann, "Leave it out")
    await ann.wait_for_text("Tax id: not set")
    async with world.app.database.read() as session:
        customer = await accounts.by_telegram_id(session, ann.id)
    assert customer is not None
    assert (customer.billing_name, customer.billing_address) == ("Ann & Sons <Ltd>", "1 Road\nTown")


async def test_a_budget_refuses_orders_and_warns_once_a_step(world: World) -> None:
    ann = await with_card(world, world.person())
    await ann.send("/settings")
    await tap(ann, "Budget")
    await ann.wait_for_text("You have none")
    await tap(ann, "Set a budget")
    for bad in ("much", "-5", "0", "5.001"):
        await ann.send(bad)
        await ann.wait_for_text("❌", "not an amount")
    await ann.send("5")
    await ann.wait_for_text("$0.00 of $5.00")
    await ann.send("/deploy vm small one")
    await ann.wait_for_text("held until")
    await tap(ann, "Deploy one")
    await ann.wait_for_text("success")
    await ann.send("/deploy vm small two")
    await ann.wait_for_text("over your own monthly budget")
    await tap(ann, "Settings")
    await tap(ann, "🎯 Budget")
    await tap(ann, "Set a budget")
    await ann.wait_for_text("How much")
    await ann.send("4.00")
    await ann.wait_for_text("of $4.00")
    await world.move(timedelta(days=18))
    await ann.wait_for_text("January 2026 has used $3.21 of your budget of $4.00")
    await world.move(timedelta(days=1))
    warned = [message for message in ann.messages if "has used" in message.text]
    assert len(warned) == 1
    await ann.send("/settings")
    await tap(ann, "🎯 Budget")
    await tap(ann, "No budget")
    await ann.wait_for_text("You have none")


async def test_several_keys_can_be_listed_and_removed(world: World) -> None:
    ann = await with_key(world.person())
    await ann.send("/settings")
    await ann.wait_for_text("1 SSH key")
    await tap(ann, "SSH keys")
    await ann.wait_for_text("ann@laptop", "SHA256:")
    await tap(ann, "Remove ann@laptop")
    await ann.wait_for_text("no SSH key yet")


async def test_my_data_is_everything_of_mine_and_nothing_secret(world: World) -> None:
    ann, bob = await with_card(world, world.person(1, "Ann")), await with_key(world.person(2, "Bob"))
    await ann.send("/deploy vm small web")
    await ann.wait_for_text("held until")
    await tap(ann, "Deploy web")
    await ann.wait_for_text("success")
    await ann.send("/settings")
    await tap(ann, "My data")
    message = await ann.wait(lambda found: found.file_name == "my-data.json")
    found = json.loads(message.content)
    assert found["customers"][0]["name"] == "Ann"
    assert [row["name"] for row in found["deployments"]] == ["web"]
    assert found["ssh_keys"][0]["public_key"] == KEY
    assert found["cards"][0]["last4"] == "4242"
    assert found["intervals"]
    assert b"PRIVATE KEY" not in message.content
    assert b"Bob" not in message.content
    assert bob.id != ann.id


async def until_cards_are_forgotten(world: World) -> None:
    """Wait until no card is left, here and at the payment service."""
    wanted = select(func.count()).where(or_(Card.removed_at.is_(None), Card.detach_wanted_at.is_not(None)))
    async with asyncio.timeout(10):
        while True:
            async with world.app.database.read() as session:
                if not await session.scalar(wanted):
                    return
            await asyncio.sleep(0.05)


async def test_an_account_closes_when_nothing_keeps_it_open_and_opens_again(world: World) -> None:
    ann = await with_card(world, world.person(1, "Ann", username="ann"))
    await ann.send("/deploy vm small web")
    await ann.wait_for_text("held until")
    await tap(ann, "Deploy web")
    await ann.wait_for_text("success")
    await ann.send("/settings")
    await tap(ann, "Close my account")
    await ann.wait_for_text("cannot be closed yet", "1 deployment runs", "not invoiced yet")
    await world.move(timedelta(days=5))
    await ann.send("/delete web")
    await tap(ann, "Delete web")
    await ann.wait_for_text("deleted")
    await ann.send("/settings")
    await tap(ann, "Close my account")
    await ann.wait_for_text("cannot be closed yet", "not invoiced yet")
    await world.move(timedelta(days=17))
    await ann.wait_for_text("INV-2026-000001", "is paid")
    await ann.send("/settings")
    await tap(ann, "Close my account")
    await ann.wait_for_text("Close your account?")
    await tap(ann, "🚪 Close my account")
    await ann.wait_for_text("is closed")
    await until_cards_are_forgotten(world)
    async with world.app.database.read() as session:
        customer = await accounts.by_telegram_id(session, ann.id)
    assert customer is not None
    assert (customer.name, customer.username, customer.default_card_id) == ("", "", None)
    await ann.send("/vms")
    await ann.wait_for_text("account is closed")
    await ann.start()
    await ann.wait_for_text("Hello Ann")
    await ann.send("/cards")
    await ann.wait_for_text("no card yet")

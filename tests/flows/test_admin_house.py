"""The operator's chat but for customers: panel, maintenance, invoices, announcements, administrators, figures."""

import csv
import io
from datetime import UTC, datetime, timedelta

from sqlalchemy import Update, func, select, update

from billing.models import Account, AccountKind, Announcement, AuditEntry, Customer, Notice, NoticeStatus
from bot import chores
from bot.demo.telegram import Person
from cloud.models import Deployment
from tests.flows.test_order import with_card, with_key
from tests.flows.world import World


async def deploy(person: Person, name: str) -> None:
    await person.send(f"/deploy vm small {name}")
    await person.wait_for_text("held until")
    await person.press(f"Deploy {name}")
    await person.wait_for_text(name, "success")


async def test_maintenance_stops_customers_and_no_administrator(world: World) -> None:
    """Customers are told why; what they ordered is offered again when it is over."""
    ann = await with_card(world, world.person())
    olga = world.admin
    await with_card(world, olga, "4000056655665556")
    await ann.send("/deploy vm small early")
    offer = await ann.wait_for_text("held until")
    await olga.send("/maintenance")
    await olga.wait_for_text("Maintenance is off")
    await olga.press("Stop new deployments")
    await olga.wait_for_text("Maintenance is on")
    await ann.tap(offer, "Deploy early")
    await ann.wait_for_text("cannot be deployed yet", "maintenance")
    await ann.send("/deploy vm small web")
    await ann.wait_for_text("cannot be deployed yet", "maintenance")
    await deploy(olga, "mine")
    await olga.send("/admin")
    await olga.wait_for_text("Maintenance: customers cannot deploy")
    await ann.send("/topup 5.00")
    await world.pay_page(await ann.wait_for_text("$5.00"))
    await ann.wait_for_text("$5.00", "in your balance")
    await world.settled()
    assert not any("can go through now" in message.text for message in ann.messages)
    await olga.send("/maintenance sideways")
    await olga.wait_for_text("/maintenance on", "Maintenance is on")
    for _ in range(2):
        await olga.send("/maintenance off")
        await olga.wait_for_text("Maintenance is off")
    await ann.wait_for_text("Your order can go through now", "web")
    async with world.app.database.read() as session:
        assert await session.scalar(select(func.count()).where(AuditEntry.action == "maintenance")) == 2
        assert await session.scalar(select(func.count()).select_from(Deployment)) == 1


async def test_all_invoices_with_filters_pages_and_a_table(world: World) -> None:
    ann = await with_card(world, world.person(1, "=cmd|' /C calc'!A0"))
    bob = await with_key(world.person(2, "Bob"))
    await world.admin.start()
    await world.admin.send("/credit 2 5.00 welcome")
    await bob.wait_for_text("$5.00", "welcome")
    await deploy(ann, "web")
    await deploy(bob, "db")
    await bob.send("/topup 9.00")
    olga = world.admin
    await world.move_to(datetime(2026, 2, 1, 0, 11, tzinfo=UTC))
    await olga.send("/allinvoices")
    page = await olga.wait_for_text("All invoices", "2 invoices, $7.68 in all", "Still due: $0.00")
    assert page.button("INV-2026-000001").text.startswith("✅")
    await olga.press("As a table")
    file = await olga.wait(lambda message: bool(message.content))
    rows = list(csv.DictReader(io.StringIO(file.content.decode("utf-8-sig"))))
    assert [row["number"] for row in rows] == ["INV-2026-000001", "INV-2026-000002"]
    assert {row["name"] for row in rows} == {"'=cmd|' /C calc'!A0", "Bob"}
    by_name = {row["name"]: row for row in rows}
    assert by_name["Bob"]["from_balance"] == "3.84"
    assert by_name["'=cmd|' /C calc'!A0"]["from_card"] == "3.84"
    assert {row["total"] for row in rows} == {"3.84"}
    for text, said in (
        ("unpaid", "Unpaid invoices"),
        ("2026-01", "Invoices for January 2026"),
        ("unpaid 2025-12", "Unpaid invoices for December 2025"),
        ("2026-13", "Type which invoices"),
        ("everything", "Type which invoices"),
        ("unpaid unpaid", "Type which invoices"),
        ("INV-2026-000002", "INV-2026-000002"),
    ):
        await olga.send(f"/allinvoices {text}")
        await olga.wait_for_text(said)
    await olga.press("PDF")
    assert (await olga.wait(lambda message: bool(message.content))).content.startswith(b"%PDF")
    await olga.send("/user 2")
    await olga.wait_for_text("Bob (2)")
    await olga.press("Invoices")
    await olga.wait_for_text("of Bob (2)", "1 invoice")
    await olga.send("/stats")
    picture = await olga.wait(lambda message: bool(message.content))
    assert "February 2026" in picture.text
    assert "Revenue: $7.68" in picture.text
    assert "Deployments that ran: 2" in picture.text
    assert picture.content.startswith(b"\x89PNG")


async def test_announcements_are_previewed_chosen_sent_once_and_reported(world: World) -> None:
    people = [world.person(number, f"Person {number}") for number in range(1, 5)]
    for person in people:
        await person.start()
        await person.wait_for_text("Hello")
    await with_card(world, people[0])
    await deploy(people[0], "web")
    await people[3].block()
    olga = world.admin
    await olga.start()
    await olga.send("/announce")
    await olga.wait_for_text("Type the announcement")
    await olga.send("x" * 3900)
    await olga.wait_for_text("too long")
    await olga.send("New <prices> & sizes from May")
    preview = await olga.wait_for_text("everybody", "5 customers", "New <prices> & sizes from May")
    assert any("who has something running (1)" in button.text for button in preview.buttons)
    assert any("who owes something (0)" in button.text for button in preview.buttons)
    await olga.press("who owes something")
    empty = await olga.wait_for_text("who owes something", "0 customers")
    assert not any("Send" in button.text for button in empty.buttons)
    await olga.press("everybody")
    ready = await olga.wait_for_text("everybody", "5 customers")
    for _ in range(3):
        await olga.tap(ready, "Send to 5 customers")
    for person in people[:3]:
        await person.wait_for_text("New <prices> & sizes from May")
    await olga.wait_for_text("Your announcement is out", "Sent: 4", "Not reached: 1")
    await olga.press("Details")
    await olga.wait_for_text("Announcement 1", "Done")
    await olga.press("Who was not reached")
    await olga.wait_for_text("Person 4", "blocked")
    await olga.press("Back")
    await olga.wait_for_text("Announcement 1", "Done")
    await world.settled()
    for person in people[:3]:
        assert sum("New <prices>" in message.text for message in person.messages) == 1

    await olga.send("/announce Machines restart tonight")
    await olga.wait_for_text("Machines restart tonight", "everybody")
    await olga.press("who has something running")
    await olga.wait_for_text("1 customer:")
    await olga.press("Send to 1 customer")
    await people[0].wait_for_text("Machines restart tonight")
    await olga.wait_for_text("Your announcement is out", "Sent: 1", "Not reached: 0")
    assert not any("restart tonight" in message.text for message in people[1].messages)
    await olga.send("/announce never sent")
    draft = await olga.wait_for_text("never sent")
    await olga.press("Cancel")
    await olga.wait_for_text("Announcements, newest first")
    await olga.tap(draft, "Send to 5 customers")
    await olga.wait_for_text("Something changed in the meantime")
    async with world.app.database.read() as session:
        assert await session.scalar(select(func.count()).select_from(Announcement)) == 2


async def test_administrators_are_made_and_unmade_at_once(world: World) -> None:
    ann, olga = world.person(1, "Ann", username="ann"), world.admin
    await ann.start()
    await ann.wait_for_text("Hello")
    await olga.start()
    await olga.send("/grant")
    await olga.wait_for_text("Who shall be an administrator")
    await olga.send("@nobody")
    await olga.wait_for_text("I know nobody called @nobody")
    await olga.send("@ann")
    await olga.wait_for_text("Ann (1) is an administrator now")
    await olga.send("/grant 1")
    await olga.wait_for_text("is an administrator already")
    await ann.wait_for_text("You are an administrator now")
    assert "setprice" in ann.commands
    await ann.send("/admin")
    panel = await ann.wait_for_text("The business now")
    await ann.send("/revoke 9000")
    await ann.wait_for_text("ADMIN_IDS")
    await ann.send("/setprice vm small 9.00")
    price = await ann.wait_for_text("New: $9.00")
    await olga.press("Administrators")
    await olga.wait_for_text("Olga (9000) – by ADMIN_IDS", "Ann (1) – made by Olga (9000)")
    await olga.press("Revoke Ann")
    await olga.wait_for_text("Shall Ann (1) be an administrator no more")
    for _ in range(2):
        await olga.press("✖️ Revoke")
    await ann.wait_for_text("no administrator any more")
    assert "setprice" not in ann.commands
    await ann.tap(price, "Set $9.00")
    await ann.wait_for_text("older screen")
    await ann.tap(panel, "Customers")
    await ann.wait_for_text("older screen")
    await ann.send("/admin")
    await ann.wait_for_text("do not know this command")
    await ann.send("/prices")
    assert "$9.00" not in (await ann.wait_for_text("$5.00")).text
    async with world.app.database.read() as session:
        found = list(await session.scalars(select(AuditEntry.action)))
    assert found == ["grant", "revoke"]


async def test_parked_messages_and_differences_reach_the_operator(world: World) -> None:
    ann, olga = world.person(), world.admin
    await ann.start()
    await olga.start()
    await olga.wait_for_text("Hello")
    await olga.send("/block 1")
    await ann.wait_for_text("cannot deploy anything new")
    async with world.app.database.transaction() as session:
        await session.execute(
            update(Notice).where(Notice.kind == "account_blocked").values(status=NoticeStatus.PARKED, error="<broken>")
        )
    await olga.send("/admin")
    await olga.wait_for_text("Messages that cannot be delivered: 1")
    await olga.press("Undelivered: 1")
    await olga.wait_for_text("account blocked", "<broken>")
    await olga.press("Try all again")
    await olga.wait_for_toast("1 message is tried again")
    await olga.wait_for_text("Every message could be delivered")
    await ann.wait_for_text("cannot deploy anything new")
    await world.settled()
    assert sum("cannot deploy anything new" in message.text for message in ann.messages) == 2
    assert await chores.check(world.app) == 0
    async with world.app.database.transaction() as session:
        # What never happens: a balance that no transfer explains.
        await session.execute(_meddle(500))
    for _ in range(2):
        assert await chores.check(world.app) == 1
    await olga.wait_for_text("The daily check found", "posted on account")
    await world.settled()
    assert sum("daily check found" in message.text for message in olga.messages) == 1
    async with world.app.database.transaction() as session:
        await session.execute(_meddle(-500))
    await world.move(timedelta(seconds=1))


def _meddle(by: int) -> Update:
    mine = select(Customer.id).where(Customer.telegram_id == 1).scalar_subquery()
    return (
        update(Account)
        .where(Account.customer_id == mine, Account.kind == AccountKind.BALANCE)
        .values(posted=Account.posted + by)
    )

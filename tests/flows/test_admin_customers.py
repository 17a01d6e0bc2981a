"""Customers in administrators' hands: found, looked at, blocked, limited, credited, written to, cleared out (B7)."""

from sqlalchemy import func, select

from billing.models import AuditEntry, Transfer
from tests.flows.test_order import with_card
from tests.flows.world import World


async def acts(world: World) -> list[str]:
    async with world.app.database.read() as session:
        return list(await session.scalars(select(AuditEntry.action).order_by(AuditEntry.id)))


async def test_customers_are_found_and_looked_at(world: World) -> None:
    ann = await with_card(world, world.person(1, "Ann <b>& Co</b>", username="ann_b"))
    bob = world.person(22, "Bob")
    await bob.start()
    await bob.wait_for_text("Hello")
    await ann.send("/deploy vm small web")
    await ann.wait_for_text("held until")
    await ann.press("Deploy web")
    await ann.wait_for_text("success")
    olga = world.admin
    await olga.start()
    await olga.wait_for_text("Hello")
    await olga.press("Administration")
    await olga.wait_for_text("3 customers", "1 success")
    await olga.press("Customers")
    page = await olga.wait_for_text("newest first")
    assert [button.text for row in page.rows for button in row][:3] == [
        "Olga (9000)",
        "Bob (22)",
        "Ann <b>& Co</b> @ann_b (1)",
    ]
    for text in ("ANN", "@ann_b", "co</b", "1"):
        await olga.send(f"/users {text}")
        found = await olga.wait_for_text("Customers with")
        assert any("ann_b" in button.text for row in found.rows for button in row), text
    await olga.send("/users %")
    await olga.wait_for_text("Nobody fits")
    await olga.press("Search")
    await olga.wait_for_text("Type a name")
    await olga.send("bob")
    await olga.wait_for_text("Customers with bob")
    await olga.press("Bob (22)")
    await olga.wait_for_text("Bob (22)", "Owes $0.00")

    await olga.send("/user @ANN_b")
    await olga.wait_for_text("Ann <b>& Co</b> @ann_b (1)", "1 machine", "cards: 1", "Credit limit $200.00")
    await olga.press("Cards")
    await olga.wait_for_text("Visa •4242", "charged first")
    await olga.press("‹ Ann")
    await olga.wait_for_text("1 machine")
    await olga.press("Messages")
    await olga.wait_for_text("card added", "deployment ready")
    await olga.press("‹ Ann")
    await olga.wait_for_text("1 machine")
    await olga.press("Deployments")
    await olga.wait_for_text("Deployments of Ann")
    await olga.press("web")
    await olga.wait_for_text("web", "success", "$5.00 a month", "vm: vm-")
    await olga.press("Delete")
    await olga.wait_for_text("Delete web of Ann")
    await olga.press("Keep it")
    await olga.wait_for_text("web", "success")
    for command in ("/user", "/block", "/unblock", "/limit", "/credit"):
        await olga.send(command)
        await olga.wait_for_text("Whom?", command)
        await olga.send(f"{command} 777 1.00 no")
        await olga.wait_for_text("I know nobody", "777")


async def test_customers_are_blocked_limited_credited_and_written_to(world: World) -> None:
    ann = await with_card(world, world.person())
    olga = world.admin
    await olga.start()
    await olga.send("/block 1")
    await olga.wait_for_text("is blocked", "They have been told")
    await ann.wait_for_text("cannot deploy anything new")
    await ann.send("/deploy vm small web")
    await ann.wait_for_text("cannot be deployed yet")
    await olga.send("/block 1")
    await olga.wait_for_text("is blocked")
    await olga.press("Unblock")
    await olga.wait_for_text("is not blocked")
    await ann.wait_for_text("You can deploy again")

    await olga.send("/limit 1 4.00")
    await olga.wait_for_text("credit limit of Ann (1) is $4.00", "(their own)")
    await ann.send("/deploy vm small web")
    await ann.wait_for_text("cannot be deployed yet", "$4.00")
    await olga.press("Limit")
    await olga.wait_for_text("now $4.00")
    await olga.send("lots")
    await olga.wait_for_text("lots is not an amount")
    await olga.press("Limit")
    await olga.send("0")
    await olga.wait_for_text("is $0.00")
    await olga.send("/limit 1 100")
    await olga.wait_for_text("is $100.00")

    await olga.send("/credit 1 7.50 sorry for <the> outage")
    await olga.wait_for_text("$7.50 credited to Ann (1)", "balance $7.50")
    await ann.wait_for_text("$7.50", "sorry for <the> outage")
    for bad in ("/credit 1 5.00", "/credit 1 five for you", "/credit 1 -5.00 back", f"/credit 1 5.00 {'x' * 300}"):
        await olga.send(bad)
        await olga.wait_for_text("5.00")
    await olga.press("Cancel")
    await olga.press("Credit")
    await olga.wait_for_text("Type amount and reason")
    await olga.send("0.50 again")
    await olga.wait_for_text("$0.50 credited", "balance $8.00")

    await olga.press("Write")
    await olga.wait_for_text("What shall I tell Ann")
    await olga.send("Hello <b>Ann</b>")
    await olga.wait_for_text("On its way")
    await ann.wait_for_text("From the people who run this", "Hello <b>Ann</b>")
    assert await acts(world) == ["block", "unblock", "limit", "limit", "limit", "credit", "credit", "message"]
    async with world.app.database.read() as session:
        given = await session.scalar(select(func.count()).where(Transfer.reason == "correction"))
    assert given == 2
    await olga.send("/audit")
    await olga.wait_for_text("credit", "amount: $7.50", "reason: sorry for <the> outage", "by Olga (9000)")


async def test_everything_of_a_customer_can_be_deleted_with_one_question(world: World) -> None:
    ann = await with_card(world, world.person())
    for name in ("web", "db"):
        await ann.send(f"/deploy vm small {name}")
        await ann.wait_for_text("held until")
        await ann.press(f"Deploy {name}")
        await ann.wait_for_text(name, "success")
    olga = world.admin
    await olga.start()
    await olga.send("/deployments")
    await olga.wait_for_text("🟢 2")
    await olga.press("web")
    await olga.wait_for_text("of Ann (1)", "success")
    await olga.press("🗑 Delete")
    question = await olga.wait_for_text("Delete web of Ann")
    for _ in range(2):
        await olga.tap(question, "Delete web")
    await ann.wait_for_text("An administrator deleted web")
    await olga.wait_for_text("web", "delet")
    await olga.send("/user 1")
    await olga.wait_for_text("1 machine")
    await olga.press("Delete everything")
    question = await olga.wait_for_text("Delete 1 deployment of Ann", "db")
    for _ in range(2):
        await olga.tap(question, "Delete all of it")
    await ann.wait_for_text("An administrator deleted db")
    await world.settled()
    assert (await acts(world)).count("delete_deployments") == 2
    await olga.send("/deployments")
    await olga.wait_for_text("⚪ 2", "There is none")
    await olga.press("⚪ deleted")
    await olga.wait_for_text("Shown: deleted")

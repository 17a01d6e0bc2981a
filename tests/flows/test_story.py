"""The whole path once, without a browser: order, card, machine, month, invoice, deletion."""

from datetime import UTC, datetime

from tests.flows.world import KEY, World


async def test_the_story(either_world: World) -> None:
    world = either_world
    ann = world.person()
    await ann.start()
    await ann.wait_for_text("Hello")
    await ann.send("/prices")
    await ann.wait_for_text("$5.00")
    await ann.send(f"/sshkey {KEY}")
    await ann.wait_for_text("Key added")
    await ann.send("/deploy vm small web-1")
    await ann.wait_for_text("cannot be deployed yet", "card is missing", "$5.00")
    await ann.press("Add a card")
    page = await ann.wait_for_text("payment page")
    await world.pay_page(page)
    await ann.wait_for_text("Visa •4242", "is saved")
    await ann.wait_for_text("Your order can go through now", "web-1", "$5.00", "held until")
    await ann.press("Deploy web-1")
    await ann.wait_for_text("web-1", "success")
    await world.move_to(datetime(2026, 2, 1, 0, 11, tzinfo=UTC))
    await ann.wait_for_text("INV-2026-000001", "$3.84")
    await ann.wait_for_text("INV-2026-000001", "is paid", "Visa •4242")
    assert [charge["amount"] for charge in world.stripe.control.charges()] == [384]
    await ann.send("/delete web-1")
    await ann.wait_for_text("Delete", "web-1")
    await ann.press("Delete web-1")
    await ann.wait_for_text("web-1", "deleted")

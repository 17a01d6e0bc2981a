"""Orders with what may go wrong: each has a clear answer and nothing is lost (issue 2, "Shown by")."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from billing.clock import ManualClock
from billing.models import Subscription
from bot import dispatch
from bot.demo.telegram import Person
from cloud.drivers.base import Capabilities
from cloud.drivers.simulated import SimulatedDriver
from cloud.models import Deployment
from tests.flows.presses import handled
from tests.flows.world import DECLINED, DECLINES_LATER, KEY, VISA, World, open_world


async def with_key(person: Person) -> Person:
    await person.start()
    await person.send(f"/sshkey {KEY}")
    await person.wait_for_text("Key added")
    return person


async def with_card(world: World, person: Person, card: str = VISA) -> Person:
    await with_key(person)
    await person.send("/addcard")
    await world.pay_page(await person.wait_for_text("payment page"), card=card)
    await person.wait_for_text("is saved")
    return person


async def count(world: World, table: type[Deployment | Subscription]) -> int:
    async with world.app.database.read() as session:
        return await session.scalar(select(func.count()).select_from(table)) or 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hello", "not"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----", "private"),
        ("ssh-rsa AAAA", "."),
        ('command="rm" ' + KEY, "."),
        (f"{KEY}\n{KEY}", "one"),
    ],
)
async def test_a_wrong_key_is_told_apart_and_asked_again(world: World, text: str, said: str) -> None:
    ann = world.person()
    await ann.start()
    await ann.wait_for_text("Hello")
    await ann.press("Settings")
    await ann.wait_for_text("no SSH key")
    await ann.press("Add an SSH key")
    await ann.wait_for_text("Send me your public SSH key")
    await ann.send(text)
    answer = await ann.wait_for_text("❌", "ssh-keygen")
    assert said in answer.text
    await ann.send(KEY)
    await ann.wait_for_text("Key added", "SHA256:")


@pytest.mark.parametrize("name", ["Web_1", "-web", "web-", "x" * 64, "web 1", "<b>web</b>", "wéb"])
async def test_a_bad_name_is_asked_again_with_one_that_would_do(world: World, name: str) -> None:
    ann = await with_card(world, world.person())
    await ann.press("Home")
    await ann.wait_for_text("Hello")
    await ann.press("Deploy")
    await ann.wait_for_text("What would you like")
    await ann.press("Machine")
    await ann.wait_for_text("Which size")
    await ann.press("small")
    await ann.wait_for_text("public IP")
    await ann.press("No public IP")
    await ann.wait_for_text("What shall it be called")
    await ann.send(name)
    await ann.wait_for_text("❌", "What shall it be called")
    await ann.send("fine")
    await ann.wait_for_text("fine", "$5.00", "held until")


async def test_what_is_typed_takes_the_place_of_its_question(world: World) -> None:
    """One message shows where an order stands, whether its steps are tapped or typed."""
    ann = world.person()
    await ann.start()
    await ann.send("/deploy")
    for question, choice in (("What would", "Machine"), ("Which size", "small"), ("public IP", "No public IP")):
        await ann.wait_for_text(question)
        await ann.press(choice)
    await ann.wait_for_text("What shall it be called")
    await ann.send("web_1")
    await ann.wait_for_text("❌", "What shall it be called")
    await ann.send("web")
    await ann.wait_for_text("web", "no SSH key")
    await ann.press("Add an SSH key")
    await ann.wait_for_text("Send me your public SSH key")
    await ann.send("ssh-rsa AAAA")
    await ann.wait_for_text("❌", "ssh-keygen")
    await ann.send(KEY)
    await ann.wait_for_text("Key added", "web", "cannot be deployed yet", "card is missing")
    await handled(world)
    assert [message.text.split()[0] for message in ann.messages if message.from_bot] == ["👋", "✅"]


async def test_typing_is_shown_while_an_answer_takes_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Typed or tapped; here a moment is no time at all."""
    monkeypatch.setattr(dispatch, "_SPINNER_SECONDS", 0)
    events = world.telegram.state.events
    ann = await with_key(world.person())
    seen = events.revision
    await ann.send("/addcard")
    await ann.wait_for_text("payment page")
    assert await events.until(lambda: types(events.since(seen)), 10)
    await ann.press("Cards")
    await ann.wait_for_text("no card yet")
    seen = events.revision
    await ann.press("Add a card")
    await ann.wait_for_text("payment page")
    assert await events.until(lambda: types(events.since(seen)), 10)


def types(events: list[dict[str, Any]] | None) -> bool:
    """Whether the bot was seen typing."""
    return any(event["type"] == "action" and event["action"] == "typing" for event in events or [])


async def test_a_taken_name_is_told_with_a_free_one(world: World) -> None:
    ann = await with_card(world, world.person())
    for _ in range(2):
        await ann.send("/deploy vm small web")
        await ann.wait_for_text("web")
        if any("Deploy web" in button.text for row in ann.last.rows for button in row):
            await ann.press("Deploy web")
            await ann.wait_for_text("success")
    await ann.wait_for_text("already", "web-2", timeout_s=1)


async def test_a_declined_card_is_refused_on_the_page_and_another_one_works(world: World) -> None:
    ann = await with_key(world.person())
    await ann.send("/addcard")
    page = await ann.wait_for_text("payment page")
    with pytest.raises(Exception, match="declined"):
        await world.pay_page(page, card=DECLINED)
    await world.pay_page(page, card=VISA)
    await ann.wait_for_text("Visa •4242", "is saved")


async def test_a_cancelled_page_leaves_everything_as_it_was(world: World) -> None:
    ann = await with_key(world.person())
    await ann.send("/deploy vm small web")
    await ann.wait_for_text("cannot be deployed yet")
    await ann.press("Add a card")
    await ann.wait_for_text("payment page")
    await ann.send("/cards")
    await ann.wait_for_text("no card yet")


async def test_a_card_that_declines_when_charged(world: World) -> None:
    """4000 0000 0000 0341: attaches, deploys, and the month's end finds out."""
    ann = await with_card(world, world.person(), DECLINES_LATER)
    await ann.send("/deploy vm small web")
    await ann.wait_for_text("held until")
    await ann.press("Deploy web")
    await ann.wait_for_text("success")
    await world.move(timedelta(days=21, hours=12, minutes=11))
    await ann.wait_for_text("INV-2026-000001", "$3.84")
    await ann.wait_for_text("could not be charged", "•0341")
    await ann.send("/deploy vm small more")
    await ann.wait_for_text("cannot be deployed yet", "card is missing")
    await ann.press("Add a card")
    await world.pay_page(await ann.wait_for_text("payment page"))
    await ann.wait_for_text("INV-2026-000001", "is paid", "Visa •4242")
    assert [charge["amount"] for charge in world.stripe.control.charges()] == [384]


async def test_a_price_change_between_offer_and_confirmation(world: World) -> None:
    """The quote's price holds for 15 minutes; after that a fresh one shows the difference."""
    ann = await with_card(world, world.person())
    await ann.send("/deploy vm small first")
    offer = await ann.wait_for_text("$5.00", "held until")
    await world.admin.start()
    await world.admin.send("/setprice vm small 6.50")
    await world.admin.wait_for_text("Now: $5.00", "New: $6.50")
    await world.admin.press("Set $6.50")
    await world.admin.wait_for_text("is $6.50 a month")
    await ann.tap(offer, "Deploy first")
    await ann.wait_for_text("first", "success", "$5.00 a month")
    await ann.send("/deploy vm small second")
    offer = await ann.wait_for_text("$6.50", "held until")
    await world.admin.send("/setprice vm small 7.00")
    await world.admin.wait_for_text("New: $7.00")
    await world.admin.press("Set $7.00")
    await world.admin.wait_for_text("is $7.00 a month")
    await world.move(timedelta(minutes=16))
    await ann.tap(offer, "Deploy second")
    await ann.wait_for_text("price has changed", "$6.50", "$7.00")
    await ann.press("Deploy second")
    await ann.wait_for_text("second", "success", "$7.00 a month")


async def test_a_double_tap_on_confirm_makes_one_machine(world: World) -> None:
    ann = await with_card(world, world.person())
    await ann.send("/deploy vm small web")
    offer = await ann.wait_for_text("held until")
    taps = [await ann.tap(offer, "Deploy web") for _ in range(3)]
    await asyncio.gather(*(tap.answered() for tap in taps))
    await ann.wait_for_text("success")
    assert await count(world, Deployment) == 1
    assert await count(world, Subscription) == 1


async def test_setprice_does_not_exist_for_customers(world: World) -> None:
    ann = world.person()
    await ann.start()
    await ann.send("/setprice vm small 0.01")
    nobody = await ann.wait_for_text("do not know this command")
    await ann.send("/nonsense")
    assert (await ann.wait_for_text("do not know this command")).text == nobody.text


@pytest.mark.parametrize(
    "words", ["", "vm", "vm tiny 5", "vm small five", "vm small 5 private", "vm small -5", "k8s small 0"]
)
async def test_setprice_with_bad_words_says_how(world: World, words: str) -> None:
    await world.admin.start()
    await world.admin.send(f"/setprice {words}")
    await world.admin.wait_for_text("5.00")


async def test_what_this_cloud_cannot_make_is_neither_shown_nor_sold(
    tmp_path: Path, sqlite_url: str, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No clusters and no public addresses, as with QEMU on a host that has none."""

    async def capabilities(_: SimulatedDriver) -> Capabilities:
        return Capabilities(real=False, public_ip=False, private_network=False, boots_at_once=9, clusters=False)

    monkeypatch.setattr(SimulatedDriver, "capabilities", capabilities)
    async with open_world(tmp_path, sqlite_url, clock) as world:
        ann = await with_card(world, world.person())
        await ann.send("/prices")
        prices = await ann.wait_for_text("clusters are not offered here")
        assert "nodes" not in prices.text
        assert "public IP" not in prices.text
        await ann.send("/deploy")
        kinds = await ann.wait_for_text("What would you like")
        assert "Cluster" not in " ".join(button.text for button in kinds.buttons)
        await ann.send("/deploy k8s small lab 2")
        await ann.wait_for_text("clusters are not offered here. Nothing was ordered")
        await ann.send("/deploy vm small web public")
        await ann.wait_for_text("IP addresses are not offered here. Nothing was ordered")
        assert await count(world, Deployment) == 0
        await ann.send("/deploy vm small web")
        await ann.wait_for_text("web", "held until")
        await world.check()

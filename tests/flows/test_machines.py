"""Machines in the chat: `/vms`, power, `/delete`, `/deleteall`, `/usage`, home's next step, menus (B5, C6, C17)."""

import struct
from datetime import timedelta

from bot import menu
from bot.demo.telegram import ChatMessage, Person
from cloud.drivers.simulated import Fault, SimulatedDriver
from tests.flows.test_order import with_card
from tests.flows.test_settings import tap
from tests.flows.world import KEY, World


async def deployed(person: Person, order: str, name: str) -> None:
    """Order something and wait until it runs."""
    await person.send(f"/deploy {order}")
    await tap(person, f"Deploy {name}")
    await person.wait_for_text(name, "success")


async def test_power_and_deletion(world: World) -> None:
    ann = await with_card(world, world.person())
    await ann.send("/vms")
    await ann.wait_for_text("You have no machine")
    await ann.send("/deleteall")
    await ann.wait_for_text("nothing to delete")
    await deployed(ann, "vm small web", "web")
    await deployed(ann, "k8s small web 2", "web")
    await deployed(ann, "vm small other", "other")
    await ann.send("/vms")
    await ann.wait_for_text("web", "other", "success", "$0.00 so far")
    await tap(ann, "🟢 web")
    await ann.wait_for_text("web", "Running since")
    await tap(ann, "Power off")
    off = await ann.wait_for_text("web", "powered off", "Off, it costs the same")
    assert "Running since" not in off.text
    await ann.send("/vms")
    await tap(ann, "⚫ web")
    await tap(ann, "Power on")
    await ann.wait(lambda message: "success" in message.text and "powered off" not in message.text)
    await tap(ann, "Reboot")
    await ann.wait_for_toast("Rebooting")
    await ann.send("/delete")
    await ann.wait_for_text("Which one?", "/delete other")
    await tap(ann, "🟢 other")
    await ann.wait_for_text("Delete other?")
    await ann.send("/delete <nothing>")
    await ann.wait_for_text("nothing called <nothing>")
    await ann.send("/delete WEB")
    await ann.wait_for_text("A machine and a cluster have this name")
    await tap(ann, "k8s web")
    await ann.wait_for_text("Delete web?")
    await tap(ann, "Keep it")
    await ann.wait_for_text("web", "success")
    await ann.send("/delete other")
    await tap(ann, "Delete other")
    await ann.wait_for_text("other", "deleted")
    await ann.send("/deleteall")
    await ann.wait_for_text("all 2 deployments")
    await tap(ann, "Delete all")
    await ann.wait_for_text("2 deployments are being deleted")
    await world.settled()
    await ann.send("/k8s")
    await ann.wait_for_text("You have no cluster")


async def test_usage_is_told_with_a_picture_of_the_days(world: World) -> None:
    ann = await with_card(world, world.person())
    await ann.send("/usage")
    await ann.wait_for_text("Usage in January 2026", "Nothing ran this month")
    await deployed(ann, "vm small web", "web")
    await deployed(ann, "vm large big", "big")
    await world.move(timedelta(days=3, hours=1, minutes=30))
    await ann.send("/usage")
    shown = await ann.wait_for_text("Usage in January 2026", "web: 74 hours, $0.55", "So far: ", "if all runs on")
    assert shown.content.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", shown.content[16:24])
    assert width > height > 100
    assert shown.text.index("big") < shown.text.index("web")
    await tap(ann, "Home")
    await ann.wait_for_text("Hello", "2 machines")


async def test_home_says_what_to_do_next(world: World) -> None:
    ann = world.person()
    await ann.start()
    await ann.wait_for_text("Next: 🔑 Add an SSH key")
    await ann.send(f"/sshkey {KEY}")
    await tap(ann, "Home")
    await ann.wait_for_text("Next: 💳 Add a card")
    await ann.send("/deploy vm small web")
    await ann.wait_for_text("cannot be deployed yet")
    await ann.start()
    await ann.wait_for_text("Next: 🚀 Go on with web")
    await tap(ann, "Go on with web")
    await tap(ann, "Give up the order")
    await with_card(world, ann)
    await ann.start()
    await ann.wait_for_text("Next: 🚀 Start your first one")
    await tap(ann, "Start your first one")
    await ann.wait_for_text("What would you like to deploy")


async def test_the_bot_says_what_it_is_before_anybody_asks(world: World) -> None:
    ann, layla = world.person(1, "Ann"), world.person(2, "Layla", language="ar")
    await world.admin.start()
    profile = world.telegram.state.profile
    await world.admin.wait_for_text("Hello")
    await menu.publish(world.app.telegram.bot, world.app.settings.admin_ids, clusters=True)
    assert "by the hour" in profile["description/"]
    assert (profile["photo/"][0]["width"], profile["photo/"][0]["height"]) == (640, 640)
    for wanted in ("start", "deploy", "usage", "support", "settings"):
        assert wanted in ann.commands
        assert wanted in layla.commands
    assert "admin" not in ann.commands
    assert "admin" in world.admin.commands
    sets = [call for name in SETTERS for call in world.telegram.called(name)]
    await menu.publish(world.app.telegram.bot, world.app.settings.admin_ids, clusters=True)
    assert [call for name in SETTERS for call in world.telegram.called(name)] == sets
    await menu.publish(world.app.telegram.bot, world.app.settings.admin_ids, clusters=False)
    assert "luster" not in profile["description/"] + profile["short_description/"]
    assert "k8s" not in ann.commands


SETTERS = ("setMyCommands", "setMyDescription", "setMyShortDescription", "setMyProfilePhoto")


async def test_one_message_shows_an_order_from_its_price_to_the_way_in(world: World) -> None:
    """What was pressed follows the order; when it is over, it stands once, as the newest message."""
    ann = await with_card(world, world.person())
    await deployed(ann, "vm small web", "web")
    await world.settled()
    (web,) = about(ann, "web")
    assert "Running since" in web.text
    assert isinstance(world.app.driver, SimulatedDriver)
    world.app.driver.faults = {"two": Fault.NO_CAPACITY}
    await ann.send("/deploy vm small two")
    await tap(ann, "Deploy two")
    await ann.wait_for_text("two", "no room")
    await world.settled()
    (two,) = about(ann, "two")
    assert "Order again" in [button.text[2:] for button in two.buttons]


async def test_what_has_no_room_is_said_before_it_is_ordered(world: World) -> None:
    """To customers where they look, to the operator at once and on the panel; nothing is refused for it."""
    ann = await with_card(world, world.person())
    await world.admin.start()
    assert isinstance(world.app.driver, SimulatedDriver)
    world.app.driver.faults = {"full": Fault.NO_CAPACITY}
    await ann.send("/deploy vm small full")
    await tap(ann, "Deploy full")
    await ann.wait_for_text("full", "no room", "These sizes may have room: medium, large")
    await world.admin.wait_for_text("full", "failed", "no room")
    await ann.send("/prices")
    assert (await ann.wait_for_text("a month")).text.count("🚫 Sold out right now") == 2
    await ann.send("/deploy")
    await tap(ann, "Machine")
    await tap(ann, "small · sold out right now")
    await ann.wait_for_text("public IP")
    await world.admin.send("/admin")
    await world.admin.wait_for_text("🚫 Sold out at the last order: vm small, k8s small")
    await ann.send("/deploy vm small web")
    await ann.wait_for_text("held until", "🚫 There was no room for this size a moment ago")
    await tap(ann, "Deploy web")
    await ann.wait_for_text("web", "success")
    await ann.send("/prices")
    assert "🚫" not in (await ann.wait_for_text("a month")).text


async def test_who_goes_on_in_a_message_is_not_thrown_back(world: World) -> None:
    ann = await with_card(world, world.person())
    await deployed(ann, "vm small web", "web")
    await world.settled()
    await tap(ann, "Power off")
    await tap(ann, "Home")
    home = await ann.wait_for_text("You have 1 machine")
    await world.settled()
    (still,) = [message for message in ann.messages if message.id == home.id]
    assert still.text == home.text


def about(person: Person, name: str) -> list[ChatMessage]:
    """The bot's messages that show one machine or an order of it."""
    return [message for message in person.messages if message.from_bot and f" {name} " in f" {message.text} "]

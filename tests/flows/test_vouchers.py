"""Vouchers and requests in the chat, over HTTP: made, redeemed, guessed, asked for, decided (A3, A4, B1, B8)."""

import asyncio
import csv
import io
import re
from datetime import timedelta

from sqlalchemy import select

from billing import ledger
from billing.models import Customer
from bot.demo.telegram import ChatMessage, Person
from bot.models import ChatUpdate
from tests.flows.world import World

CODE = re.compile(r"\b(?:[0-9A-Z]{4}-){4}[0-9A-Z]{4}\b")


def code_in(message: ChatMessage) -> str:
    return str(CODE.findall(message.text)[0])


async def new_code(world: World, words: str = "10") -> str:
    await world.admin.send(f"/newvoucher {words}")
    return code_in(await world.admin.wait_for_text("voucher of"))


async def voucher_money(world: World, person: Person) -> int:
    async with world.app.database.read() as session:
        customer = (await session.scalars(select(Customer).where(Customer.telegram_id == person.id))).one()
        return (await ledger.balances(session, customer.id)).voucher


async def test_a_code_is_made_and_redeemed_once(world: World) -> None:
    ann, bob = world.person(), world.person(2, "Bob")
    await world.admin.start()
    await world.admin.send("/newvoucher 10")
    made = await world.admin.wait_for_text("1 voucher of $10.00", "cannot show them again")
    code = code_in(made)
    assert made.content.startswith(b"\x89PNG")
    assert await world.admin.copy(made, "Copy the code") == code
    link = await world.admin.copy(made, "Copy the link")
    assert link == f"{world.app.chat_url}?start=v_{code}"
    await ann.start(f"v_{code}")
    await ann.wait_for_text("Voucher redeemed: $10.00", "come to $10.00")
    await ann.send(f"/voucher {code.lower().replace('-', ' ')}")
    await ann.wait_for_text("You redeemed this voucher of $10.00")
    await bob.start()
    await bob.send(f"/voucher {code}")
    await bob.wait_for_text("no voucher that can be redeemed")
    await ann.send("/balance")
    await ann.wait_for_text("Balance: $0.00", "Vouchers: $10.00", "To pay: $0.00")
    assert await voucher_money(world, ann) == 1000
    await world.settled()
    async with world.app.database.read() as session:
        payloads = list(await session.scalars(select(ChatUpdate.payload)))
    assert not any(code in str(payload) or code.lower().replace("-", " ") in str(payload) for payload in payloads)


async def test_many_codes_come_as_a_file_and_can_be_taken_back(world: World) -> None:
    ann, admin = world.person(), world.admin
    await admin.start()
    await admin.send("/newvoucher 5 3 30 =for the <b>fair</b>")
    made = await admin.wait_for_text("3 vouchers of $5.00 each", "10 Feb 2026", "=for the <b>fair</b>")
    rows = list(csv.DictReader(io.StringIO(made.content.decode("utf-8-sig"))))
    assert [row["code"] for row in rows] == CODE.findall(made.text)
    assert {(row["amount"], row["currency"]) for row in rows} == {("5.00", "USD")}
    assert all(row["link"].endswith(f"?start=v_{row['code']}") for row in rows)
    await ann.start(f"v_{rows[0]['code']}")
    await ann.wait_for_text("Voucher redeemed: $5.00")
    await admin.send("/vouchers")
    await admin.wait_for_text("Vouchers, newest first")
    await admin.press("3 × $5.00")
    await admin.wait_for_text("3 vouchers of $5.00", f"…{rows[0]['code'][-4:]} redeemed", "Ann")
    await admin.press("Take 2 back")
    await admin.wait_for_text("Take back 2")
    await admin.press("Take them back")
    await admin.wait_for_text("taken back")
    await ann.send(f"/voucher {rows[1]['code']}")
    await ann.wait_for_text("no voucher that can be redeemed")
    assert await voucher_money(world, ann) == 500


async def test_a_large_batch_is_a_file_only(world: World) -> None:
    await world.admin.start()
    await world.admin.send("/newvoucher 1.50 500")
    made = await world.admin.wait_for_text("500 vouchers of $1.50 each")
    assert not CODE.search(made.text)
    assert made.file_name.endswith(".csv")
    assert len(set(CODE.findall(made.content.decode()))) == 500
    for words in ("1.50 501", "1 0", "1 1 0", "1 1 3651"):
        await world.admin.send(f"/newvoucher {words}")
        await world.admin.wait_for_text("cannot be made", "At most 500 at once")
    for words in ("ten", "-5", "0", "1.005"):
        await world.admin.send(f"/newvoucher {words}")
        await world.admin.wait_for_text("not an amount")
    await world.admin.send("/newvoucher")
    await world.admin.wait_for_text("Which vouchers?")
    await world.admin.send("7 2")
    await world.admin.wait_for_text("2 vouchers of $7.00")


async def test_ten_wrong_codes_stop_for_an_hour(world: World) -> None:
    ann = world.person()
    await world.admin.start()
    code = await new_code(world)
    await ann.start()
    await ann.send("/voucher")
    await ann.wait_for_text("Send me the voucher code")
    await ann.send("1234")
    await ann.wait_for_text("no voucher")
    for _ in range(9):
        await ann.send("/voucher AAAA-BBBB-CCCC-DDDD-EEEE")
    await ann.wait_for_text("0 more wrong codes")
    await ann.send(f"/voucher {code}")
    await ann.wait_for_text("Too many wrong codes", "13:00 UTC")
    await world.move(timedelta(hours=1))
    await ann.send(f"/voucher {code}")
    await ann.wait_for_text("Voucher redeemed")


async def test_an_expired_code_says_so(world: World) -> None:
    ann = world.person()
    await world.admin.start()
    code = await new_code(world, "10 1 1")
    await world.move(timedelta(days=2))
    await ann.start(f"v_{code}")
    await ann.wait_for_text("could be redeemed until 12 Jan 2026, 00:00 UTC")
    assert await voucher_money(world, ann) == 0


async def test_a_request_is_asked_for_with_buttons_and_approved_once(world: World) -> None:
    ann, admin = world.person(), world.admin
    await admin.start()
    await ann.start()
    await ann.send("/apply")
    await ann.wait_for_text("How much do you need?")
    await ann.press("$10.00")
    await ann.wait_for_text("What is it for?")
    await ann.send("a <b>class</b> on Monday")
    await ann.wait_for_text("Your request for $10.00", "a <b>class</b> on Monday")
    card = await admin.wait_for_text("Ann", "asks for $10.00", "a <b>class</b> on Monday")
    taps = [await admin.tap(card, "Approve") for _ in range(3)]
    await asyncio.gather(*(tap.answered() for tap in taps))
    await admin.wait_for_text("approved 10 Jan 2026")
    await ann.wait_for_text("Your request was approved", "$10.00")
    await admin.tap(card, "Reject")
    await admin.wait_for_toast("decided this already")
    assert await voucher_money(world, ann) == 1000


async def test_requests_are_decided_one_by_one_or_all(world: World) -> None:
    ann, bob, admin = world.person(), world.person(2, "Bob"), world.admin
    await admin.start()
    await admin.send("/requests")
    await admin.wait_for_text("No request waits")
    await ann.start()
    for amount in (5, 6, 7):
        await ann.send(f"/apply {amount} for {amount} days")
        await ann.wait_for_text(f"Your request for ${amount}.00")
    await ann.send("/apply 8 one more")
    await ann.wait_for_text("3 requests of yours wait already")
    await bob.start()
    await bob.send("/apply 9")
    await bob.wait_for_text("What is it for?")
    await bob.send("me too")
    await bob.wait_for_text("Your request for $9.00")
    await admin.send("/requests")
    await admin.wait_for_text("Ann", "asks for $5.00", "4 wait in all")
    await admin.press("Reject")
    await admin.wait_for_text("asks for $5.00", "rejected")
    await ann.wait_for_text("Your request for $5.00 was not approved")
    await admin.press("Next")
    await admin.wait_for_text("asks for $6.00", "3 wait in all")
    await admin.press("Approve all 3")
    await admin.wait_for_text("Approve 3 requests, $22.00 in all?")
    await admin.press("Approve all of them")
    await admin.wait_for_text("3 requests approved, $22.00 in all")
    await bob.wait_for_text("Your request was approved", "$9.00")
    assert await voucher_money(world, ann) == 1300
    assert await voucher_money(world, bob) == 900


async def test_bad_requests_are_told_apart(world: World) -> None:
    ann = world.person()
    await ann.start()
    await ann.send("/apply much please")
    await ann.wait_for_text("not an amount")
    await ann.send("/apply 1000.01 greedy")
    await ann.wait_for_text("At most $1,000.00")
    await ann.send("/apply 5")
    await ann.wait_for_text("What is it for?")
    await ann.press("Cancel")
    await ann.wait_for_text("nothing was changed")


async def test_administrators_are_reminded_daily_of_what_waits(world: World) -> None:
    ann, admin = world.person(), world.admin
    await admin.start()
    await ann.start()
    await ann.send("/apply 5 a class")
    await ann.wait_for_text("Your request for $5.00")
    await world.move(timedelta(days=1))
    await admin.wait_for_text("1 request for a voucher waits, $5.00", "10 Jan 2026")
    await admin.press("Decide")
    await admin.wait_for_text("asks for $5.00")


async def test_the_commands_of_administrators_do_not_exist_for_others(world: World) -> None:
    ann = world.person()
    await ann.start()
    for command in ("newvoucher 10", "vouchers", "requests", "stars"):
        await ann.send(f"/{command}")
        await ann.wait_for_text("do not know this command")

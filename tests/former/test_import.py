"""Users of the former system come by a link in a mail and find what they had: requirement A15, from file to chat."""

import csv
import re
import stat
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select

from billing import catalog, ledger, vouchers
from billing.clock import DAY, ManualClock
from billing.db import Database
from billing.models import Base, Customer, Interval, Notice, Voucher
from billing.money import Currency
from bot import importing
from bot.demo.mail import MailBox
from bot.importing import CannotImport, Worth
from cloud.former import VALID_FOR
from cloud.models import Deployment, FormerMachine, FormerUser, Node, PowerWish, State
from cloud.sweep import Sweeper
from tests.flows.world import World, open_mailing_world
from tests.former import sample

USD = Currency.of("usd")
WORTH = Worth(machine=500, address=100)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return sample.write(tmp_path / "former.db")


@pytest.fixture
def box(tmp_path: Path) -> MailBox:
    return MailBox(tmp_path / "mail")


@pytest.fixture
async def world(tmp_path: Path, sqlite_url: str, clock: ManualClock, box: MailBox) -> AsyncIterator[World]:
    async with open_mailing_world(tmp_path, sqlite_url, clock, box) as opened:
        yield opened


async def take_over(
    database: Database, file: Path, clock: ManualClock, *, worth: Worth = WORTH, codes: Path | None = None
) -> importing.Plan:
    codes = codes or file.with_suffix(".csv")
    return await importing.run(database, file, worth=worth, codes=codes, currency=USD, now=clock.now(), dry=False)


async def link_for(world: World, box: MailBox, address: str, *, count: int = 1) -> str:
    """The payload of the link in the newest mail to somebody, when so many have come."""
    while len(box.messages(address)) < count:
        await world.app.deliverer(real=False).drain()  # gives the loop time; the workers mail
    found = re.search(r"\?start=(i_[\w-]+)", box.messages(address)[0].text)
    assert found is not None
    return found[1]


async def told(world: World, person: int) -> list[str]:
    """Kinds of what was said to somebody in the chat without having been asked."""
    async with world.app.database.read() as session:
        return list(await session.scalars(select(Notice.kind).where(Notice.recipient == person)))


async def count(database: Database, table: type[Base]) -> int:
    async with database.read() as session:
        return await session.scalar(select(func.count()).select_from(table)) or 0


# --- the file


async def test_imported_twice_is_imported_once(database: Database, file: Path, clock: ManualClock) -> None:
    async with database.transaction() as session:
        await catalog.ensure_defaults(session, USD)
    plan = await take_over(database, file, clock)
    assert plan.summary(USD)[:3] == [
        "2 users, with vouchers and quota worth 26.00 USD",
        "2 machines and 1 clusters, 50.00 a month",
        "1 vouchers that are nobody's own",
    ]
    counts = [await count(database, table) for table in (FormerUser, FormerMachine, Voucher)]
    assert counts == [2, 3, 1]
    again = await take_over(database, file, clock, codes=file.with_suffix(".again"))
    assert again.is_empty
    assert [await count(database, table) for table in (FormerUser, FormerMachine, Voucher)] == counts
    assert not file.with_suffix(".again").exists()


async def test_codes_of_vouchers_that_are_nobodys_are_in_a_file_of_ones_own(
    database: Database, file: Path, clock: ManualClock
) -> None:
    """Rules.md 8.1: a code there may be short, so each gets a new one, and only its hash stays here."""
    async with database.transaction() as session:
        await catalog.ensure_defaults(session, USD)
    codes = file.with_suffix(".csv")
    await take_over(database, file, clock, codes=codes)
    assert stat.S_IMODE(codes.stat().st_mode) == 0o600
    with codes.open() as opened:
        (row,) = csv.DictReader(opened)
    assert (row["former_code"], row["amount"]) == ("poster", "6.00")
    async with database.read() as session:
        voucher = (await session.scalars(select(Voucher))).one()
    assert voucher.code_hash == vouchers.hash_of(row["code"])


async def test_nothing_is_written_when_something_is_missing(database: Database, file: Path, clock: ManualClock) -> None:
    async with database.transaction() as session:
        await catalog.ensure_defaults(session, USD)
    with pytest.raises(CannotImport, match="--machine-worth"):
        await take_over(database, file, clock, worth=Worth())
    file.with_suffix(".taken").write_text("")
    with pytest.raises(CannotImport, match="File exists"):
        await take_over(database, file, clock, codes=file.with_suffix(".taken"))
    with pytest.raises(CannotImport, match="--codes"):
        await importing.run(database, file, worth=WORTH, codes=None, currency=USD, now=clock.now(), dry=False)
    codes = file.with_suffix(".csv")
    await importing.run(database, file, worth=WORTH, codes=codes, currency=USD, now=clock.now(), dry=True)
    assert not codes.exists()
    assert [await count(database, table) for table in (FormerUser, FormerMachine, Voucher)] == [0, 0, 0]


# --- coming


async def test_who_opens_the_link_finds_machines_and_money(
    world: World, box: MailBox, file: Path, clock: ManualClock
) -> None:
    """A15, A19, 9.4: adopted at the price of the import, not billed before, and told to add a card."""
    database = world.app.database
    await take_over(database, file, clock)
    payload = await link_for(world, box, "ann@example.com")
    letter = box.messages("ann@example.com")[0]
    assert "moved to Telegram" in letter.subject
    for words in ("2 machines run on", "$26.00 a month", "$26.00 to spend"):
        assert words in letter.text
    await world.admin.send("/setprice vm small 50.00 public")
    await world.admin.wait_for_text("$6.00")
    await world.admin.press("Set")
    await world.admin.wait_for_text("50.00")
    clock.move(5 * DAY)
    assert await count(database, Interval) == 0

    ann = world.person()
    await ann.send(f"/start {payload}")
    await ann.wait_for_text("What you had there is yours", "web", "data-base", "$26.00 a month", "$26.00 of vouchers")
    await world.settled()
    await ann.send("/vms")
    await ann.wait_for_text("web", "success", "203.0.113.7", "data-base")
    async with database.read() as session:
        customer = (await session.scalars(select(Customer).where(Customer.telegram_id == ann.id))).one()
        rows = (await session.scalars(select(Deployment).order_by(Deployment.id))).all()
        intervals = (await session.scalars(select(Interval))).all()
        funds = await ledger.balances(session, customer.id)
    async with database.read() as session:
        user = (await session.scalars(select(FormerUser).where(FormerUser.customer_id == customer.id))).one()
    assert (user.name, user.email, user.public_key) == ("", "", "")  # kept once, where its owner can have it deleted
    assert (customer.legacy, customer.email) == (True, "ann@example.com")
    assert [(row.name, row.state, row.by_hand) for row in rows] == [
        ("web", State.SUCCESS, True),
        ("data-base", State.SUCCESS, True),
    ]
    assert {interval.started_at for interval in intervals} == {clock.now()}
    assert funds.voucher == 2600
    assert "funds_low" in await told(world, ann.id)


async def test_a_link_works_once_and_for_one_person(world: World, box: MailBox, file: Path, clock: ManualClock) -> None:
    await take_over(world.app.database, file, clock)
    payload = await link_for(world, box, "bob@example.com")
    bob, mallory = world.person(2, "Bob"), world.person(3, "Mallory")
    await mallory.send("/start i_" + "x" * 24)
    await mallory.wait_for_text("does not work")
    await bob.send(f"/start {payload}")
    await bob.wait_for_text("What you had there is yours", "lab")
    await mallory.send(f"/start {payload}")
    await mallory.wait_for_text("does not work")
    await bob.send(f"/start {payload}")
    await bob.wait_for_text("All this is yours already", "lab")
    assert await count(world.app.database, Deployment) == 1
    await bob.send("/k8s")
    await bob.wait_for_text("lab", "success")
    async with world.app.database.read() as session:
        nodes = (await session.scalars(select(Node).order_by(Node.position))).all()
    assert [node.role.value for node in nodes] == ["control", "worker", "worker"]


async def test_a_link_that_is_too_old_is_sent_again_by_an_administrator(
    world: World, box: MailBox, file: Path, clock: ManualClock
) -> None:
    await take_over(world.app.database, file, clock)
    old = await link_for(world, box, "ann@example.com")
    clock.move(VALID_FOR)
    ann, olga = world.person(), world.admin
    await ann.send(f"/start {old}")
    await ann.wait_for_text("does not work")
    await olga.send("/former")
    await olga.wait_for_text("2 users have not come yet")
    await olga.press("ann@example.com")
    await olga.wait_for_text("A link was mailed", "web")
    await olga.press("Send a new link")
    new = await link_for(world, box, "ann@example.com", count=2)
    assert new != old
    await ann.send(f"/start {old}")
    await ann.wait_for_text("does not work")
    await ann.send(f"/start {new}")
    await ann.wait_for_text("What you had there is yours")
    await olga.send("/former")
    await olga.wait_for_text("1 user has not come yet")


# --- afterwards


async def test_what_people_look_after_is_left_alone_by_the_driver(
    world: World, box: MailBox, file: Path, clock: ManualClock
) -> None:
    """It does not vanish (3.8) and is not switched; deletion ends billing, an administrator says when it is gone."""
    app = world.app
    await take_over(app.database, file, clock)
    ann, olga = world.person(), world.admin
    await olga.start()
    await ann.send(f"/start {await link_for(world, box, 'ann@example.com')}")
    await ann.wait_for_text("What you had there is yours")
    for _ in range(3):
        clock.move(timedelta(minutes=15))
        await Sweeper(app.database, app.driver, clock).sweep()
    async with app.database.read() as session:
        rows = (await session.scalars(select(Deployment))).all()
    assert {(row.state, row.power) for row in rows} == {(State.SUCCESS, PowerWish.ON)}

    await ann.send("/delete web")
    await ann.wait_for_text("cannot be undone")
    await ann.press("Delete web")
    await ann.wait_for_text("deleting", "removed by hand")
    await olga.wait_for_text("is to be deleted", "203.0.113.7")
    await olga.press("Details")
    await olga.wait_for_text("removed by hand", "former-")
    await olga.press("I have removed it")
    await olga.wait_for_text("deleted")
    await ann.send("/vms")
    await ann.wait_for_text("data-base")
    async with app.database.read() as session:
        states = (await session.scalars(select(Deployment.state).order_by(Deployment.id))).all()
        ended = (await session.scalars(select(Interval.ended_at).order_by(Interval.id))).all()
    assert states == [State.DELETED, State.SUCCESS]
    assert ended[0] is not None
    assert ended[1] is None

"""Who may do what: administrators' things do not exist for others, and nobody sees or touches another's (issue 4.4)."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import or_, select

from billing.models import Base, Card, Invoice, Payment, Quote, Subscription, Voucher, VoucherRequest
from bot.callbacks import unpack
from bot.demo.telegram import Person
from cloud.models import Deployment, SshKey
from tests.flows import presses
from tests.flows.presses import ADMIN_COMMANDS, FOR_ADMINISTRATORS
from tests.flows.test_order import with_card
from tests.flows.world import KEY, World

OLD = "This screen is old"
UNKNOWN = "do not know this command"
SECRETS = ("Zebulon", "zeb-web", "zeb-lab", "•4242", "zeb@", "INV-2026-000001", "for my zebra", "zeb@laptop")
WORDS = ("", "1 5.00 on")
NOISE = {"chat_updates", "awaiting", "job_runs", "notices", "replicas", "settlement_wishes"}
"""Tables that change by themselves, or remember only what somebody is being asked."""

Rows = dict[tuple[str, Any], tuple[Any, ...]]


async def snapshot(world: World, *, but: int | None = None) -> Rows:
    """Every row of the database, but for those of one customer and what changes by itself."""
    found: Rows = {}
    async with world.app.database.read() as session:
        for table in Base.metadata.sorted_tables:
            if table.name in NOISE:
                continue
            rows = select(table)
            if but is not None and "customer_id" in table.c:
                rows = rows.where(table.c.customer_id.is_distinct_from(but))
            if but is not None and table.name == "transfers":
                theirs = select(Payment.id).where(Payment.customer_id == but)
                rows = rows.where(or_(table.c.payment_id.is_(None), table.c.payment_id.not_in(theirs)))
            if but is not None and table.name == "customers":
                rows = rows.where(table.c.id != but)
            for row in (await session.execute(rows)).mappings():
                key = tuple(row[column.name] for column in table.primary_key)
                found[table.name, key] = tuple(row.values())
    return found


async def with_everything(world: World) -> Person:
    """A customer who has one of everything that there is to have."""
    zeb = await with_card(world, world.person(1, "Zebulon", username="zebulon"))
    for order in ("vm small zeb-web", "k8s small zeb-lab 1"):
        await zeb.send(f"/deploy {order}")
        await zeb.wait_for_text("held until")
        await zeb.press(f"Deploy {order.split()[2]}")
        await zeb.wait_for_text(order.split()[2], "success")
    await zeb.send("/apply 7.00 for my zebra")
    await zeb.wait_for_text("$7.00")
    await world.admin.start()
    await world.admin.send("/newvoucher 3.00")
    await world.admin.wait_for_text("voucher")
    await world.move_to(datetime(2026, 2, 1, 0, 11, tzinfo=UTC))
    await zeb.wait_for_text("INV-2026-000001")
    await zeb.send("/deploy vm small zeb-next")
    await zeb.wait_for_text("held until")
    await world.settled()
    return zeb


async def ids_of(world: World) -> Mapping[str, list[int]]:
    """Ids of that customer's things, by the names that buttons give them."""
    tables: dict[str, type[Base]] = {
        "deployment_id": Deployment,
        "invoice_id": Invoice,
        "card_id": Card,
        "quote_id": Quote,
        "key_id": SshKey,
        "subscription_id": Subscription,
        "request_id": VoucherRequest,
        "voucher_id": Voucher,
    }
    found = {"customer_id": [1], "telegram_id": [presses.REVOKED], "position": [0, 1], "page": [0]}
    async with world.app.database.read() as session:
        for name, model in tables.items():
            found[name] = list(await session.scalars(select(model.__table__.c.id)))
            assert found[name], name
    return found


async def test_nobody_else_may_touch_or_see_anything(world: World) -> None:
    """Every button and command: as another customer, as somebody new, and as a revoked administrator."""
    await with_everything(world)
    bob, rex = world.person(2, "Bob"), world.person(presses.REVOKED, "Rex")
    for person in (bob, rex):
        await person.start()
        await person.wait_for_text("Hello")
    await world.admin.send(f"/grant {rex.id}")
    await rex.wait_for_text("You are an administrator now")
    await rex.send("/credit 1")
    await rex.wait_for_text("Type amount and reason")
    await world.admin.send(f"/revoke {rex.id}")
    await rex.wait_for_text("no administrator any more")
    await world.settled()
    ids = await ids_of(world)
    before = await snapshot(world)

    await rex.send("100.00 for myself")
    await rex.wait_for_text("I answer to commands and buttons")
    newcomer = world.person(4, "Nemo")
    await asyncio.gather(*(as_if_there_were_none(world, person, ids) for person in (bob, rex, newcomer)))
    await presses.handled(world)
    after = await snapshot(world)
    met = {key for key in after.keys() - before.keys() if key[0] in {"customers", "accounts"}}
    assert after.keys() - met == before.keys()
    assert {key: row for key, row in after.items() if key in before} == before

    async with world.app.database.read() as session:
        bob_id = await session.scalar(select(Base.metadata.tables["customers"].c.id).filter_by(telegram_id=2))
    before = await snapshot(world, but=bob_id)
    await as_another(world, bob, ids)
    assert await snapshot(world, but=bob_id) == before
    texts = "\n".join(message.text for message in newcomer.messages if message.from_bot)
    assert not [secret for secret in SECRETS if secret in texts]


async def as_if_there_were_none(world: World, person: Person, ids: Mapping[str, list[int]]) -> None:
    """Administrators' commands are unknown to a person, and their buttons are old ones."""
    await person.send("/nonsense")
    unknown = (await person.wait_for_text(UNKNOWN)).text
    for name in ADMIN_COMMANDS:
        for words in WORDS:
            await person.send(f"/{name} {words}")
    await person.send("/nonsense")
    await person.wait_for_text(UNKNOWN)
    await world.settled()
    answers = [message.text for message in person.messages if message.from_bot]
    count = len(ADMIN_COMMANDS) * len(WORDS)
    assert answers[-count - 2 :] == [unknown] * (count + 2)
    where = person.last.id
    for button in presses.every({name: found[:1] for name, found in ids.items()}):
        if type(button) in FOR_ADMINISTRATORS:
            assert unpack(button.pack()) == button
            assert await presses.press(world, person, button.pack(), where) == OLD, button


async def as_another(world: World, bob: Person, ids: Mapping[str, list[int]]) -> None:
    """Press whatever customers have with somebody else's ids, and type their names and numbers."""
    for named, unnamed in (
        ("/invoice INV-2026-000001", "/invoice INV-2026-000009"),
        ("/pay INV-2026-000001", "/pay INV-2026-000009"),
        ("/delete zeb-web", "/delete zeb-not"),
    ):
        word, other = named.split()[1], unnamed.split()[1]
        assert (await answer_to(world, bob, named)).replace(word, other) == await answer_to(world, bob, unnamed)
    since = len(bob.messages)
    for text in (
        "/vms",
        "/k8s",
        "/cards",
        "/invoices",
        "/balance",
        "/usage",
        "/settings",
        "/deleteall",
        f"/sshkey {KEY}",
    ):
        await answer_to(world, bob, text)
    where = bob.last.id
    for button in presses.every(ids):
        if type(button) not in FOR_ADMINISTRATORS:
            await presses.press(world, bob, button.pack(), where)
    await world.settled()
    texts = "\n".join(message.text for message in bob.messages[since:] if message.from_bot)
    assert "went wrong on our side" not in texts
    assert not [secret for secret in SECRETS if secret in texts]


async def answer_to(world: World, person: Person, text: str) -> str:
    """Type something; return what is answered."""
    await person.send(text)
    answer = await person.wait()
    await presses.handled(world)
    return answer.text

"""What a screen asks of the database: as much for thirty machines as for three, and never for a whole table."""

import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from billing import subscriptions
from billing.models import Kind, Subscription
from bot import logs
from cloud.models import Deployment, Node, PowerWish, Role, State
from tests.flows import presses
from tests.flows.world import World

SCREENS = ("/start", "/vms", "/k8s", "/balance", "/usage", "/invoices", "/cards", "/settings", "/prices", "/deleteall")
OF_THE_HOUSE = ("/admin", "/deployments", "/users", "/user 1", "/allinvoices", "/vouchers", "/requests", "/audit")
BIG = frozenset(
    (
        *(
            "accounts",
            "audit_log",
            "chat_updates",
            "customers",
            "deployments",
            "intervals",
            "invoice_lines",
            "invoices",
        ),
        *("nodes", "notices", "payments", "quotes", "ssh_keys", "subscriptions", "transfers", "usage", "vouchers"),
    )
)
COUNTED = ("count(", "sum(")
"""The panel and the sums over a list count all of a table; `make bench` says how long that takes."""
_SCAN = re.compile(r"SCAN (\w+)(?! USING INDEX (?:ix_notices_waiting|ix_invoices_open))")

Asked = dict[str, list[tuple[str, Any]]]
"""Statements with their parameters, by what was typed."""


class Ear:
    """Hears what is asked of the database while updates are answered; workers ask as well, and are not meant."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, Any]] = []

    def __call__(self, _: object, __: object, statement: str, parameters: Any, *___: object) -> None:
        if logs._about.get().startswith("update:"):
            self.heard.append((statement, parameters))


@contextmanager
def listening(world: World) -> Iterator[Ear]:
    ear = Ear()
    engines = [engine.sync_engine for engine in (world.app.database._reader, world.app.database._writer)]
    for engine in engines:
        sa.event.listen(engine, "before_cursor_execute", ear)
    yield ear
    for engine in engines:
        sa.event.remove(engine, "before_cursor_execute", ear)


async def typed(world: World, ear: Ear) -> Asked:
    """What every screen asks for, as customer and as administrator."""
    asked: Asked = defaultdict(list)
    for person, screens in ((world.person(1), SCREENS), (world.admin, OF_THE_HOUSE)):
        for text in screens:
            ear.heard.clear()
            await person.send(text)
            await person.wait()
            await presses.handled(world)
            asked[text] = list(ear.heard)
    return asked


async def add_machines(world: World, count: int) -> None:
    """Give the first customer machines that run; the cloud is not asked about them."""
    now = world.clock.now()
    async with world.app.database.transaction() as session:
        for _ in range(count):
            place = int(await session.scalar(sa.select(sa.func.count()).select_from(Deployment)) or 0)
            bought = Subscription(
                customer_id=1, name=f"m-{place}", item="vm-small", workers=0, monthly=500, created_at=now
            )
            session.add(bought)
            await session.flush()
            await subscriptions.start(session, bought, now=now)
            made = Deployment(
                customer_id=1, subscription_id=bought.id, kind=Kind.VM, name=f"m-{place}", size="small",
                public=False, workers=0, state=State.SUCCESS, power=PowerWish.ON, created_at=now, deadline_at=now,
                ready_at=now,
            )  # fmt: skip
            session.add(made)
            await session.flush()
            session.add(
                Node(deployment_id=made.id, role=Role.VM, position=0, machine=f"vmbot-{place}", host_key="",
                     host_key_fingerprint="", created_at=now)
            )  # fmt: skip


async def test_screens_ask_as_much_for_thirty_machines_as_for_three(world: World) -> None:
    for person in (world.person(1), world.admin):
        await person.start()
        await person.wait()
        await presses.handled(world)
    with listening(world) as ear:
        await add_machines(world, 3)
        few = await typed(world, ear)
        await add_machines(world, 27)
        many = await typed(world, ear)
    counts = {text: (len(few[text]), len(many[text])) for text in few}
    assert [text for text, (fewer, _) in counts.items() if not fewer] == [], "nothing was heard"
    # A page of a list holds ten: whether there is a next one is part of the same answer.
    assert {text: both for text, both in counts.items() if both[0] != both[1]} == {}
    assert max(more for _, more in counts.values()) <= 20, counts
    await no_screen_reads_a_whole_table(world, many)


async def no_screen_reads_a_whole_table(world: World, asked: Asked) -> None:
    """SQLite, which keeps no statistics, plans for these few rows as for a million."""
    found = set()
    async with world.app.database.read() as session:
        connection = await session.connection()
        for text, statements in asked.items():
            for statement, parameters in statements:
                if not statement.startswith(("SELECT", "UPDATE", "DELETE")) or any(it in statement for it in COUNTED):
                    continue
                plan = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
                details = [str(row["detail"]) for row in plan.mappings()]
                in_order = "LIMIT" in statement and not any("TEMP B-TREE FOR ORDER BY" in one for one in details)
                scanned = {match[1] for one in details if (match := _SCAN.match(one))} & BIG
                if scanned and not in_order:
                    found.add((text, statement))
    assert not found, "\n\n".join(f"{text}: {statement}" for text, statement in sorted(found))

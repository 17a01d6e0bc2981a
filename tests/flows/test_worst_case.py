"""The longest names and a hundred of everything, in both languages: each screen fits and leads on (issue 4)."""

from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import pytest
from sqlalchemy import inspect, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from billing.clock import ManualClock, Month
from billing.models import (
    AuditEntry,
    Base,
    Card,
    Channel,
    Customer,
    Interval,
    Invoice,
    InvoiceLine,
    Kind,
    Notice,
    NoticeStatus,
    RequestStatus,
    Subscription,
    VoucherRequest,
)
from bot.demo.telegram import ChatMessage
from cloud.models import Deployment, Node, SshKey
from tests.flows.test_crawler import Crawler
from tests.flows.test_machines import deployed
from tests.flows.test_order import with_card
from tests.flows.world import World, open_world

MANY = 100
LONG = "<&>" * 22
"""Of the letters that HTML makes long, as many as a first name may have."""
_Row = TypeVar("_Row", bound=Base)


@pytest.fixture
async def crowded(tmp_path: Path, sqlite_url: str, clock: ManualClock) -> AsyncIterator[World]:
    """A world with a hundred of everything. Most of it was never paid for, so the books are not checked."""
    async with open_world(tmp_path, sqlite_url, clock) as opened:
        await crowd(opened)
        yield opened


@pytest.mark.slow
@pytest.mark.parametrize("language", ["en", "ar"])
async def test_every_screen_fits(crowded: World, language: str) -> None:
    async with crowded.app.database.transaction() as session:
        await session.execute(update(Customer).values(language=language))
    for person in (crowded.person(1), crowded.admin):
        crawler = Crawler(crowded, person)
        await crawler.type(
            "/start", "/vms", "/deleteall", "/allinvoices", "/users", "/deployments", "/audit", "/vouchers"
        )
        await crawler.run(to_the_end=False)


async def test_a_hundred_machines_are_reached_page_by_page(crowded: World) -> None:
    ann = crowded.person(1)
    await ann.send("/vms")
    shown = await ann.wait_for_text("Your machines")
    seen = listed(shown)
    while any(button.text == "Newer ›" for button in shown.buttons):
        assert shown.text.count("so far") == 10
        last = seen[-1]
        await ann.press("Newer ›")
        shown = await ann.wait(without(last))
        seen += listed(shown)
    assert len(set(seen)) == len(seen) == MANY + 1


def without(name: str) -> Callable[[ChatMessage], bool]:
    """Whether a message is another page than the one with this machine."""
    return lambda message: name not in listed(message)


def listed(message: ChatMessage) -> list[str]:
    """Running machines that a message has buttons of."""
    return [button.text for button in message.buttons if button.text.startswith("🟢")]


async def crowd(world: World) -> None:
    """Make one of everything by the chat, and a hundred of it by copying the rows."""
    ann = await with_card(world, world.person(1, LONG[:64], username="u" * 32))
    await deployed(ann, "vm small " + "w" * 63, "w" * 63)
    await deployed(ann, "k8s small " + "k" * 63 + " 10", "k" * 63)
    await world.admin.start()
    await world.admin.send(f"/newvoucher 3.00 100 30 {LONG}")
    await world.admin.wait_for_text("100 vouchers")
    await world.move_to(datetime(2026, 2, 1, 0, 11, tzinfo=UTC))
    await ann.wait_for_text("INV-2026-000001")
    await world.settled()
    async with world.app.database.transaction() as session:
        customer = (await session.scalars(select(Customer).where(Customer.telegram_id == ann.id))).one()
        customer.billing_name, customer.billing_address = "<" * 200, "&\n" * 250
        await machines(session)
        await papers(session)
        session.add_all(extras(customer, world))


async def machines(session: AsyncSession) -> None:
    """A hundred machines like the one that is there."""
    first = (await session.scalars(select(Deployment).where(Deployment.kind == Kind.VM))).one()
    subscription = await session.get_one(Subscription, first.subscription_id)
    interval = (await session.scalars(select(Interval).where(Interval.subscription_id == subscription.id))).one()
    node = (await session.scalars(select(Node).where(Node.deployment_id == first.id))).one()
    for number in range(MANY):
        name = f"{number:03}-{'w' * 59}"
        session.add(charged := copied(subscription, quote_id=None, name=name))
        await session.flush()
        session.add(copied(interval, subscription_id=charged.id))
        session.add(made := copied(first, subscription_id=charged.id, name=name, chat_message_id=None))
        await session.flush()
        session.add(copied(node, deployment_id=made.id, machine=f"copy-{number}", host="h" * 60))


async def papers(session: AsyncSession) -> None:
    """A hundred lines on the invoice that is there, a hundred more of it, and more cards and keys than anybody has."""
    invoice = (await session.scalars(select(Invoice))).one()
    line = (await session.scalars(select(InvoiceLine).limit(1))).one()
    card = (await session.scalars(select(Card))).one()
    key = (await session.scalars(select(SshKey))).one()
    for number in range(MANY):
        session.add(copied(line, position=number + 10, name=f"{number:-<63}"))
        month = Month.of(datetime(2010 + number // 12, number % 12 + 1, 1, tzinfo=UTC))
        session.add(copied(invoice, number=f"INV-2025-{number:06}", month=month))
    for number in range(9):
        session.add(copied(card, fingerprint=f"f{number}", provider_id=f"pm_{number}", brand="b" * 20))
        session.add(copied(key, fingerprint=f"SHA256:{number:043}", comment="<" * 60))


def extras(customer: Customer, world: World) -> Iterator[Base]:
    """A hundred requests, acts and lost messages, with the longest words that each may have."""
    now = world.clock.now()
    for number in range(MANY):
        yield VoucherRequest(
            customer_id=customer.id,
            amount=100,
            reason="<" * 500,
            operation=f"copy:{number}",
            status=RequestStatus.PENDING,
            created_at=now,
        )
        yield AuditEntry(
            actor=customer.telegram_id,
            action="credit",
            customer_id=customer.id,
            at=now,
            details={"amount": 1, "reason": "<" * 500, "note": "&" * 500, "batch": "x" * 64, "count": 1},
        )
        yield Notice(
            channel=Channel.MAIL,  # without an address it is refused at once, when it is tried again
            kind="card_added",
            status=NoticeStatus.PARKED,
            error="<" * 200,
            created_at=now,
            send_at=now,
            customer_id=customer.id,
            data={"card": "Visa", "default": False},
        )


def copied(row: _Row, **changes: Any) -> _Row:
    """Another row like this one, with an id of its own."""
    columns = [column.key for column in inspect(type(row)).column_attrs if column.key != "id"]
    return type(row)(**{key: getattr(row, key) for key in columns} | changes)

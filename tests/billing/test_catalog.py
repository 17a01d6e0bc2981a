"""What is sold and at which price (rules.md 3.1, 3.2)."""

from datetime import timedelta

import pytest
from sqlalchemy import func, select

from billing import catalog, quotes, subscriptions
from billing.catalog import ITEMS, Item
from billing.clock import ManualClock
from billing.db import Database
from billing.errors import Conflict, NotFound
from billing.models import AuditEntry, Kind, Price
from billing.money import Currency
from billing.quotes import Order
from tests.billing.builders import make_customer, make_subscription

SMALL = Item(Kind.VM, "small")
ADMIN = 7


def test_every_item_has_a_code_that_leads_back_to_it() -> None:
    assert [Item.parse(item.code) for item in ITEMS] == list(ITEMS)
    assert len(ITEMS) == 12
    assert ITEMS[0].code == "vm-small"
    assert ITEMS[-1].code == "k8s-large-public"


@pytest.mark.parametrize("code", ["", "vm", "vm-tiny", "vm-small-private", "VM-small", "vm-small-public-public"])
def test_other_codes_are_not_sold(code: str) -> None:
    with pytest.raises(NotFound):
        Item.parse(code)


@pytest.mark.parametrize(("currency", "small"), [("usd", 500), ("jpy", 500), ("kwd", 500), ("mga", 500)])
async def test_a_fresh_product_sells_at_once(
    sqlite_database: Database, clock: ManualClock, currency: str, small: int
) -> None:
    async with sqlite_database.transaction() as session:
        await catalog.ensure_defaults(session, Currency.of(currency))
        await catalog.ensure_defaults(session, Currency.of(currency))
        prices = await catalog.price_list(session, clock.now())
        assert await session.scalar(select(func.count()).select_from(Price)) == 12
    assert list(prices) == list(ITEMS)
    assert prices[SMALL] == small
    assert all(amount % Currency.of(currency).step == 0 for amount in prices.values())


async def test_defaults_are_5_10_20_and_one_more_for_public_and_for_clusters(
    sqlite_database: Database, clock: ManualClock
) -> None:
    async with sqlite_database.transaction() as session:
        await catalog.ensure_defaults(session, Currency.of("usd"))
        prices = await catalog.price_list(session, clock.now())
    assert {item.code: amount for item, amount in prices.items()} == {
        "vm-small": 500,
        "vm-small-public": 600,
        "vm-medium": 1000,
        "vm-medium-public": 1100,
        "vm-large": 2000,
        "vm-large-public": 2100,
        "k8s-small": 600,
        "k8s-small-public": 700,
        "k8s-medium": 1100,
        "k8s-medium-public": 1200,
        "k8s-large": 2100,
        "k8s-large-public": 2200,
    }


async def test_the_newest_price_that_is_valid_counts(database: Database, clock: ManualClock) -> None:
    now = clock.now()
    async with database.transaction() as session:
        for number, (amount, days) in enumerate([(500, -10), (600, -1), (650, -1), (900, 1)]):
            await catalog.set_price(
                session, SMALL, amount, operation=f"tap:{number}", actor=ADMIN, now=now + timedelta(days=days)
            )
        assert await catalog.price(session, SMALL, now) == 650
        assert (await catalog.price_list(session, now))[SMALL] == 650
        assert await catalog.price(session, SMALL, now - timedelta(days=5)) == 500
        assert await catalog.price(session, SMALL, now - timedelta(days=50)) is None
        assert SMALL not in await catalog.price_list(session, now - timedelta(days=50))
        assert [price.monthly for price in await catalog.history(session, SMALL)] == [900, 650, 600, 500]


async def test_a_price_tapped_twice_is_set_once_and_is_in_the_audit_log_once(
    database: Database, clock: ManualClock
) -> None:
    now = clock.now()
    async with database.transaction() as session:
        await catalog.set_price(session, SMALL, 500, operation="tap:0", actor=ADMIN, now=now)
        first = await catalog.set_price(session, SMALL, 700, operation="tap:1", actor=ADMIN, now=now)
        second = await catalog.set_price(session, SMALL, 700, operation="tap:1", actor=ADMIN, now=now)
        assert first.id == second.id
        entries = (await session.scalars(select(AuditEntry).order_by(AuditEntry.id))).all()
        assert [(entry.actor, entry.details["old"], entry.details["new"]) for entry in entries] == [
            (ADMIN, None, 500),
            (ADMIN, 500, 700),
        ]
        with pytest.raises(Conflict):
            await catalog.set_price(session, SMALL, 800, operation="tap:1", actor=ADMIN, now=now)


async def test_the_effect_says_how_many_deployments_keep_which_price(database: Database, clock: ManualClock) -> None:
    """C14: live ones only, and clusters by the price of the node that the item is."""
    now = clock.now()
    async with database.transaction() as session:
        await catalog.ensure_defaults(session, Currency.of("usd"))
        customer = await make_customer(session)
        for number, monthly in enumerate([400, 400, 500]):
            await make_subscription(session, customer, monthly=monthly, name=f"vm{number}")
        over = await make_subscription(session, customer, monthly=300, name="over")
        await subscriptions.end(session, over, at=now)
        for item, workers in [(Item(Kind.K8S, "small", public=True), 2), (Item(Kind.K8S, "small"), 1)]:
            quote = await quotes.offer(session, customer, Order(item, f"lab{workers}", workers), now)
            await subscriptions.create(session, quote, now=now)
        machine = await catalog.effect(session, SMALL, now)
        node = await catalog.effect(session, Item(Kind.K8S, "small"), now)
        public = await catalog.effect(session, Item(Kind.K8S, "small", public=True), now)
    assert (machine.current, dict(machine.kept), machine.keeping) == (500, {400: 2, 500: 1}, 3)
    assert dict(node.kept) == {600: 2}
    assert dict(public.kept) == {700: 1}

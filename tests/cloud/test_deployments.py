"""Ordering, listing, deleting and switching deployments (rules.md 3.3, 3.5, 3.8)."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from billing import catalog, quotes, subscriptions
from billing.catalog import Item
from billing.clock import DAY, ManualClock
from billing.db import Database
from billing.eligibility import Reason
from billing.errors import Conflict, NotFound
from billing.ledger import About, Side, transfer
from billing.models import AccountKind, Kind, Quote, Subscription
from billing.quotes import Order
from cloud import deployments, key_ring
from cloud.deployments import Confirmed, Lapsed, NameTaken, NotNow, Outcome
from cloud.drivers.base import Capabilities
from cloud.models import Deployment, PowerWish, Role, State
from cloud.offering import NotOffered
from cloud.ssh_keys import fingerprint, public_of
from tests.billing.builders import make_customer
from tests.cloud.world import K8S, PUBLIC_KEY, USD, VM, add_card, can_deploy, order


def made(outcome: Outcome) -> Deployment:
    assert isinstance(outcome, Confirmed)
    return outcome.deployment


# --- confirming


async def test_what_the_cloud_cannot_make_is_not_sold(sqlite_database: Database, clock: ManualClock) -> None:
    """Even if it was offered before the cloud was another."""
    now = clock.now()
    able = Capabilities(real=True, public_ip=False, private_network=False, boots_at_once=2, clusters=False)
    public = Item(Kind.VM, "small", public=True)
    async with sqlite_database.transaction() as session:
        customer = await can_deploy(session, now)
        for item, workers in ((K8S, 1), (Item(Kind.K8S, "small"), 1), (public, 0)):
            quote = await quotes.offer(session, customer, Order(item, "web", workers), now)
            with pytest.raises(NotOffered):
                await deployments.confirm(session, customer, quote.id, now=now, terms=USD, able=able)
        quote = await quotes.offer(session, customer, Order(VM, "web"), now)
        made(await deployments.confirm(session, customer, quote.id, now=now, terms=USD, able=able))
        assert await session.scalar(select(func.count()).select_from(Deployment)) == 1


async def test_a_confirmed_quote_becomes_a_deployment_in_progress(database: Database, clock: ManualClock) -> None:
    now = clock.now()
    async with database.transaction() as session:
        customer = await can_deploy(session, now)
        deployment = made(await order(session, customer, now))
        subscription = await session.get_one(Subscription, deployment.subscription_id)
        (node,) = await deployments.nodes(session, deployment)
        quote = await session.get_one(Quote, subscription.quote_id)
        assert not await subscriptions.is_running(session, subscription.id)
    assert (deployment.state, deployment.name, deployment.size, deployment.item) == (
        State.IN_PROGRESS,
        "web",
        "small",
        "vm-small",
    )
    assert deployment.deadline_at == now + timedelta(minutes=15)
    assert deployment.reconcile_at == now
    assert subscription.monthly == 500
    assert node.role is Role.VM
    assert node.host_key_fingerprint == fingerprint(public_of(node.host_key))
    assert quote.confirmed_at == now


async def test_confirming_twice_makes_one_deployment(database: Database, clock: ManualClock) -> None:
    """Also after the offer has run out, and after the deployment is gone."""
    now = clock.now()
    async with database.transaction() as session:
        customer = await can_deploy(session, now)
        quote = await quotes.offer(session, customer, Order(VM, "web"), now)
        first = await deployments.confirm(session, customer, quote.id, now=now, terms=USD)
        second = await deployments.confirm(session, customer, quote.id, now=now, terms=USD)
        await deployments.delete(session, customer, made(first).id, now=now)
        third = await deployments.confirm(session, customer, quote.id, now=now + DAY, terms=USD)
        assert isinstance(first, Confirmed)
        assert not first.again
        assert isinstance(second, Confirmed)
        assert second.again
        assert made(first).id == made(second).id == made(third).id
        assert await session.scalar(select(func.count()).select_from(Deployment)) == 1


async def test_two_taps_at_once_make_one_deployment(database: Database, clock: ManualClock) -> None:
    now = clock.now()
    async with database.transaction() as session:
        customer = await can_deploy(session, now)
        quote = await quotes.offer(session, customer, Order(VM, "web"), now)

    async def tap() -> Outcome:
        async with database.transaction() as session:
            return await deployments.confirm(session, customer, quote.id, now=now, terms=USD)

    outcomes = await asyncio.gather(*(tap() for _ in range(4)))
    assert len({made(outcome).id for outcome in outcomes}) == 1
    assert sum(isinstance(outcome, Confirmed) and not outcome.again for outcome in outcomes) == 1


async def test_two_orders_that_money_suffices_for_one_of_cannot_both_pass(
    database: Database, clock: ManualClock
) -> None:
    """Rules 3.5."""
    now = clock.now()
    async with database.transaction() as session:
        customer = await make_customer(session)
        await catalog.ensure_defaults(session, USD.currency)
        await key_ring.add(session, customer, PUBLIC_KEY, now=now)
        await transfer(
            session,
            operation="voucher",
            debit=Side(AccountKind.VOUCHERS_ISSUED),
            credit=Side(AccountKind.VOUCHER, customer.id),
            amount=900,
            about=About("redeem"),
            now=now,
        )
        offered = [await quotes.offer(session, customer, Order(VM, name), now) for name in ("one", "two")]

    async def tap(quote: Quote) -> Outcome:
        async with database.transaction() as session:
            return await deployments.confirm(session, customer, quote.id, now=now, terms=USD)

    outcomes = await asyncio.gather(*(tap(quote) for quote in offered))
    refused = [outcome for outcome in outcomes if isinstance(outcome, NotNow)]
    assert len(refused) == 1
    assert refused[0].verdict.missing == 100


async def test_an_offer_that_ran_out_is_made_afresh_at_the_price_of_today(
    database: Database, clock: ManualClock
) -> None:
    now = clock.now()
    async with database.transaction() as session:
        customer = await can_deploy(session, now)
        quote = await quotes.offer(session, customer, Order(VM, "web"), now)
        await catalog.set_price(session, VM, 700, operation="tap", actor=1, now=now)
        later = now + timedelta(minutes=15)
        outcome = await deployments.confirm(session, customer, quote.id, now=later, terms=USD)
        assert isinstance(outcome, Lapsed)
        assert (outcome.monthly_before, outcome.fresh.monthly) == (500, 700)
        deployment = made(await deployments.confirm(session, customer, outcome.fresh.id, now=later, terms=USD))
        assert (await session.get_one(Subscription, deployment.subscription_id)).monthly == 700


async def test_a_price_that_changed_after_the_offer_does_not_count(database: Database, clock: ManualClock) -> None:
    """A19."""
    now = clock.now()
    async with database.transaction() as session:
        customer = await can_deploy(session, now)
        quote = await quotes.offer(session, customer, Order(VM, "web"), now)
        await catalog.set_price(session, VM, 700, operation="tap", actor=1, now=now)
        deployment = made(await deployments.confirm(session, customer, quote.id, now=now, terms=USD))
        assert (await session.get_one(Subscription, deployment.subscription_id)).monthly == 500


async def test_an_order_without_money_is_kept_and_goes_through_when_a_card_is_there(
    database: Database, clock: ManualClock
) -> None:
    """C2: the refusal is committed with the kept order."""
    now = clock.now()
    async with database.transaction() as session:
        await catalog.ensure_defaults(session, USD.currency)
        customer = await make_customer(session)
        await key_ring.add(session, customer, PUBLIC_KEY, now=now)
        outcome = await order(session, customer, now)
        assert isinstance(outcome, NotNow)
        assert [refusal.reason for refusal in outcome.verdict.refusals] == [Reason.FUNDS]
        assert outcome.quote.kept_until == now + DAY
    async with database.transaction() as session:
        await add_card(session, customer, now)
        (offered,) = await quotes.offer_kept(session, customer, now=now + timedelta(hours=2), terms=USD)
        deployment = made(
            await deployments.confirm(session, customer, offered.id, now=now + timedelta(hours=2), terms=USD)
        )
        assert deployment.name == "web"
        assert await quotes.kept(session, customer, now) == []


async def test_an_order_is_refused_without_a_key_and_in_maintenance(
    sqlite_database: Database, clock: ManualClock
) -> None:
    now = clock.now()
    async with sqlite_database.transaction() as session:
        await catalog.ensure_defaults(session, USD.currency)
        customer = await make_customer(session)
        await add_card(session, customer, now)
        quote = await quotes.offer(session, customer, Order(VM, "web"), now)
        outcome = await deployments.confirm(session, customer, quote.id, now=now, terms=USD, maintenance=True)
        assert isinstance(outcome, NotNow)
        assert [refusal.reason for refusal in outcome.verdict.refusals] == [Reason.MAINTENANCE, Reason.NO_SSH_KEY]
        assert outcome.quote.kept_until is None


async def test_a_taken_name_comes_back_with_a_free_one(database: Database, clock: ManualClock) -> None:
    now = clock.now()
    async with database.transaction() as session:
        customer = await can_deploy(session, now)
        await order(session, customer, now)
        outcome = await order(session, customer, now)
        assert isinstance(outcome, NameTaken)
        assert outcome.suggestion == "web-2"


async def test_anothers_quote_cannot_be_confirmed(sqlite_database: Database, clock: ManualClock) -> None:
    now = clock.now()
    async with sqlite_database.transaction() as session:
        ann, bob = await can_deploy(session, now), await can_deploy(session, now)
        quote = await quotes.offer(session, ann, Order(VM, "web"), now)
        with pytest.raises(NotFound):
            await deployments.confirm(session, bob, quote.id, now=now, terms=USD)


async def test_a_cluster_has_a_control_plane_and_its_workers(sqlite_database: Database, clock: ManualClock) -> None:
    now = clock.now()
    async with sqlite_database.transaction() as session:
        customer = await can_deploy(session, now)
        deployment = made(await order(session, customer, now, item=K8S, name="lab", workers=10))
        nodes = await deployments.nodes(session, deployment)
        subscription = await session.get_one(Subscription, deployment.subscription_id)
    assert [(node.role, node.position) for node in nodes] == [
        (Role.CONTROL, 0),
        *((Role.WORKER, number) for number in range(1, 11)),
    ]
    assert len({node.machine for node in nodes}) == 11
    assert all(len(node.machine) <= 63 for node in nodes)
    assert subscription.monthly == 700 + 10 * 600


# --- whose it is


async def test_nobody_sees_or_touches_what_is_anothers(sqlite_database: Database, clock: ManualClock) -> None:
    now = clock.now()
    async with sqlite_database.transaction() as session:
        ann, bob = await can_deploy(session, now), await can_deploy(session, now)
        mine = made(await order(session, ann, now))
        mine.state = State.SUCCESS
        await session.flush()
        for act in (
            deployments.get(session, bob, mine.id),
            deployments.delete(session, bob, mine.id, now=now),
            deployments.set_power(session, bob, mine.id, PowerWish.OFF, now=now),
            deployments.reboot(session, bob, mine.id, now=now),
        ):
            with pytest.raises(NotFound):
                await act
        await deployments.show_in(session, bob, mine.id, 5)
        assert await deployments.listed(session, bob) == []
        assert await deployments.named(session, bob, "web") == []
        assert await deployments.delete_all(session, bob, now=now) == []
        await session.refresh(mine)
        assert (mine.state, mine.chat_message_id) == (State.SUCCESS, None)
        assert (await deployments.get(session, ann, mine.id)).id == mine.id


async def test_lists_hold_what_is_not_deleted(sqlite_database: Database, clock: ManualClock) -> None:
    now = clock.now()
    async with sqlite_database.transaction() as session:
        customer = await can_deploy(session, now)
        rows = [made(await order(session, customer, now, name=f"vm{number}")) for number in range(5)]
        lab = made(await order(session, customer, now, item=K8S, name="vm1", workers=1))
        for row, state in zip(rows, State, strict=True):
            row.state = state
        await session.flush()
        assert [row.state for row in await deployments.listed(session, customer, Kind.VM)] == [
            State.IN_PROGRESS,
            State.SUCCESS,
            State.FAILED,
            State.DELETING,
        ]
        assert len(await deployments.listed(session, customer)) == 5
        assert [row.id for row in await deployments.named(session, customer, "vm1")] == [rows[1].id, lab.id]
        assert await deployments.named(session, customer, "vm4") == []
        assert await deployments.count_active(session, customer) == (2, 1)
        assert dict(await deployments.counts(session)) == dict.fromkeys(State, 1) | {State.IN_PROGRESS: 2}
        newest = await deployments.page(session, limit=2)
        assert [(row.id, whose.id) for row, whose in newest] == [(lab.id, customer.id), (rows[3].id, customer.id)]
        older = await deployments.page(session, customer_id=customer.id, offset=2)
        assert [row.id for row, _ in older] == [row.id for row in rows[2::-1]]
        assert await deployments.page(session, customer_id=customer.id + 1) == []
        assert (await deployments.find(session, lab.id)).id == lab.id
        with pytest.raises(NotFound):
            await deployments.find(session, 99_999)


# --- deleting and switching


async def test_deleting_stops_the_hours_at_once_and_twice_is_once(database: Database, clock: ManualClock) -> None:
    """Rules 3.8, 4.1."""
    now = clock.now()
    async with database.transaction() as session:
        customer = await can_deploy(session, now)
        deployment = made(await order(session, customer, now))
        subscription = await session.get_one(Subscription, deployment.subscription_id)
        deployment.state, deployment.reconcile_at = State.SUCCESS, None
        await subscriptions.start(session, subscription, now=now)
        for later in (now + DAY, now + 2 * DAY):
            row = await deployments.delete(session, customer, deployment.id, now=later)
            assert (row.state, row.delete_asked_at, row.reconcile_at) == (State.DELETING, now + DAY, now + DAY)
        await session.refresh(subscription)
        assert subscription.ended_at == now + DAY
        assert not await subscriptions.is_running(session, subscription.id)


async def test_deleting_a_failed_one_takes_it_off_the_list(sqlite_database: Database, clock: ManualClock) -> None:
    now = clock.now()
    async with sqlite_database.transaction() as session:
        customer = await can_deploy(session, now)
        deployment = made(await order(session, customer, now))
        deployment.state, deployment.ended_at = State.FAILED, now
        row = await deployments.delete(session, customer, deployment.id, now=now + DAY)
        assert (row.state, row.ended_at) == (State.DELETED, now)


async def test_delete_all_asks_for_all_that_is_there(sqlite_database: Database, clock: ManualClock) -> None:
    """B5."""
    now = clock.now()
    async with sqlite_database.transaction() as session:
        ann, bob = await can_deploy(session, now), await can_deploy(session, now)
        for name in ("one", "two", "three"):
            await order(session, ann, now, name=name)
        others = made(await order(session, bob, now))
        assert len(await deployments.delete_all(session, ann, now=now)) == 3
        assert await deployments.delete_all(session, ann, now=now) == []
        await session.refresh(others)
        assert others.state is State.IN_PROGRESS


async def test_power_is_wished_for_only_where_something_runs(sqlite_database: Database, clock: ManualClock) -> None:
    """C17; what is off for debt is switched on by paying."""
    now = clock.now()
    async with sqlite_database.transaction() as session:
        customer = await can_deploy(session, now)
        deployment = made(await order(session, customer, now))
        for state, power in [(State.IN_PROGRESS, PowerWish.ON), (State.SUCCESS, PowerWish.SUSPENDED)]:
            deployment.state, deployment.power = state, power
            await session.flush()
            with pytest.raises(Conflict):
                await deployments.set_power(session, customer, deployment.id, PowerWish.ON, now=now)
            with pytest.raises(Conflict):
                await deployments.reboot(session, customer, deployment.id, now=now)
        deployment.power, deployment.reconcile_at = PowerWish.ON, None
        await session.flush()
        same = await deployments.set_power(session, customer, deployment.id, PowerWish.ON, now=now)
        assert same.reconcile_at is None
        off = await deployments.set_power(session, customer, deployment.id, PowerWish.OFF, now=now)
        assert (off.power, off.reconcile_at) == (PowerWish.OFF, now)
        on = await deployments.reboot(session, customer, deployment.id, now=now)
        assert (on.power, on.reboot_wanted) == (PowerWish.ON, True)


async def test_a_public_machine_is_an_item_of_its_own(sqlite_database: Database, clock: ManualClock) -> None:
    now = clock.now()
    async with sqlite_database.transaction() as session:
        customer = await can_deploy(session, now)
        item = Item(Kind.VM, "large", public=True)
        assert made(await order(session, customer, now, item=item)).item == "vm-large-public"

"""A deployment's life as people steer it: order, list, delete, power (rules.md 3.3, 3.5, 3.8, 4.1).

What is wished for is written here with `reconcile_at`; `reconcile.py` makes the cloud agree.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import bindparam, func, select, true, union_all, update
from sqlalchemy.ext.asyncio import AsyncSession

from billing import accounts, facts, low_funds, quotes, subscriptions
from billing.catalog import Item
from billing.eligibility import Verdict
from billing.errors import Conflict, NotFound
from billing.models import Customer, Kind, Quote, Subscription
from billing.terms import Terms
from cloud import key_ring, names, offering, records
from cloud.drivers.base import Capabilities
from cloud.models import ACTIVE, Deployment, Node, PowerWish, State
from cloud.nodes import new_nodes

log = logging.getLogger(__name__)

PROVISION_WITHIN = timedelta(minutes=15)
"""In progress for longer fails (rules.md 3.8)."""
_SHOWN = (State.IN_PROGRESS, State.SUCCESS, State.DELETING, State.FAILED)
_MINE = (Deployment.customer_id == bindparam("customer_id"), Deployment.state.in_(_SHOWN))
_LISTED = select(Deployment).where(*_MINE, Deployment.kind.in_(bindparam("kinds", expanding=True)))
_LISTED = _LISTED.order_by(Deployment.id)
_NODES = select(Node).where(Node.deployment_id.in_(bindparam("deployments", expanding=True))).order_by(Node.id)


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The deployment is made; `again` when an earlier tap had made it."""

    deployment: Deployment
    again: bool = False


@dataclass(frozen=True, slots=True)
class Lapsed:
    """The offer had run out: a fresh one, and what the old one cost."""

    fresh: Quote
    monthly_before: int


@dataclass(frozen=True, slots=True)
class NotNow:
    """The customer may not deploy now; where only money is wanting, the order is kept for a day."""

    quote: Quote
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class NameTaken:
    """Another live deployment has the name; here is a free one."""

    quote: Quote
    suggestion: str


Outcome = Confirmed | Lapsed | NotNow | NameTaken
"""What became of a confirmation. Results, not errors: most of them have something to be committed."""


async def confirm(
    session: AsyncSession,
    customer: Customer,
    quote_id: int,
    *,
    now: datetime,
    terms: Terms,
    maintenance: bool = False,
    within: timedelta = PROVISION_WITHIN,
    able: Capabilities | None = None,
) -> Outcome:
    """Make the deployment of a quote, once however often it is confirmed (rules.md 3.3, 3.5).

    Takes the customer's lock: two orders that funds suffice for only one of cannot both pass. `able` is what the
    cloud can make; none: everything.

    Raises:
        NotFound: there is no such quote, or it is another's.
        NotSold: the offer had run out and the item is not sold any more.
        NotOffered: the cloud cannot make it.
    """
    customer = await accounts.lock(session, customer.id)
    quote = await quotes.get(session, customer, quote_id)
    if quote.confirmed_at is not None:
        return Confirmed(await _of_quote(session, quote), again=True)
    if able is not None:
        offering.check(able, quotes.order_of(quote).item)
    if not quotes.is_valid(quote, now):
        before = quote.monthly
        return Lapsed(await quotes.requote(session, customer, quote, now), before)
    order = quotes.order_of(quote)
    if await names.is_taken(session, customer, order.item.kind, order.name):
        return NameTaken(quote, await names.suggest(session, customer, order.item.kind, order.name))
    verdict = await facts.judge(
        session,
        customer,
        quote,
        now=now,
        terms=terms,
        maintenance=maintenance,
        has_ssh_key=await key_ring.has_key(session, customer),
    )
    if not verdict.allowed:
        if verdict.for_money:
            await quotes.keep(session, quote, now)
        return NotNow(quote, verdict)
    deployment = await _make(session, quote, now, within)
    await low_funds.tell_if_low(session, customer, now=now, terms=terms)
    return Confirmed(deployment)


async def get(session: AsyncSession, customer: Customer, deployment_id: int) -> Deployment:
    """Return a customer's deployment.

    Raises:
        NotFound: there is none with this id, or it is another's.
    """
    found = await session.scalar(
        select(Deployment).where(Deployment.id == deployment_id, Deployment.customer_id == customer.id)
    )
    if found is None:
        raise NotFound("deployment", deployment_id)
    return found


async def named(session: AsyncSession, customer: Customer, name: str) -> Sequence[Deployment]:
    """Return a customer's deployments of this name that are not deleted: a machine and a cluster may share one."""
    return (
        await session.scalars(
            select(Deployment)
            .where(Deployment.customer_id == customer.id, Deployment.state.in_(_SHOWN), Deployment.name == name)
            .order_by(Deployment.id)
        )
    ).all()


async def listed(session: AsyncSession, customer: Customer, kind: Kind | None = None) -> Sequence[Deployment]:
    """Return a customer's deployments that are not deleted, oldest first; of one kind, or all."""
    kinds = list(Kind) if kind is None else [kind]
    return (await session.scalars(_LISTED, {"customer_id": customer.id, "kinds": kinds})).all()


async def count_active(session: AsyncSession, customer: Customer) -> tuple[int, int]:
    """Return how many machines and how many clusters of a customer are in progress or running."""
    rows = await session.execute(
        select(Deployment.kind, func.count())
        .where(Deployment.customer_id == customer.id, Deployment.state.in_(ACTIVE))
        .group_by(Deployment.kind)
    )
    found: dict[Kind, int] = {kind: count for kind, count in rows}  # noqa: C416 a Row is no tuple to mypy
    return found.get(Kind.VM, 0), found.get(Kind.K8S, 0)


async def nodes(session: AsyncSession, deployment: Deployment) -> Sequence[Node]:
    """Return a deployment's machines, the one that people log in to first."""
    return (await session.scalars(select(Node).where(Node.deployment_id == deployment.id).order_by(Node.id))).all()


async def nodes_of(session: AsyncSession, rows: Sequence[Deployment]) -> dict[int, list[Node]]:
    """Return the machines of deployments, by the deployments' ids; each as `nodes` does."""
    found: dict[int, list[Node]] = {row.id: [] for row in rows}
    for node in await session.scalars(_NODES, {"deployments": list(found)}):
        found[node.deployment_id].append(node)
    return found


async def delete(session: AsyncSession, customer: Customer, deployment_id: int, *, now: datetime) -> Deployment:
    """Ask for a deployment's deletion; its hours end now (rules.md 4.1). Asking again changes nothing.

    Raises:
        NotFound: there is none with this id, or it is another's.
    """
    customer = await accounts.lock(session, customer.id)
    deployment = await _held(session, customer, deployment_id)
    await _delete(session, deployment, now)
    return deployment


async def delete_all(session: AsyncSession, customer: Customer, *, now: datetime) -> list[Deployment]:
    """Ask for the deletion of everything that a customer has; return what was not being deleted already."""
    customer = await accounts.lock(session, customer.id)
    found = await session.scalars(
        select(Deployment)
        .where(Deployment.customer_id == customer.id, Deployment.state.in_((*ACTIVE, State.FAILED)))
        .order_by(Deployment.id)
        .with_for_update()
    )
    asked = list(found)
    for deployment in asked:
        await _delete(session, deployment, now)
    return asked


async def set_power(
    session: AsyncSession, customer: Customer, deployment_id: int, wish: PowerWish, *, now: datetime
) -> Deployment:
    """Wish a deployment's machines on or off (C17); off by the customer's wish is billed on (rules.md 4.1).

    Raises:
        NotFound: there is none with this id, or it is another's.
        Conflict: it is not running, is off for debt, or is looked after by hand.
    """
    deployment = await _running(session, customer, deployment_id)
    if deployment.power is not wish:
        deployment.power = wish
        wake(deployment, now)
        await session.flush()
    return deployment


async def reboot(session: AsyncSession, customer: Customer, deployment_id: int, *, now: datetime) -> Deployment:
    """Wish a restart of a deployment's machines; one that is off is started.

    Raises:
        NotFound: there is none with this id, or it is another's.
        Conflict: it is not running, is off for debt, or is looked after by hand.
    """
    deployment = await _running(session, customer, deployment_id)
    deployment.power = PowerWish.ON
    deployment.reboot_wanted = True
    wake(deployment, now)
    await session.flush()
    return deployment


async def show_in(session: AsyncSession, customer: Customer, deployment_id: int, message_id: int | None) -> None:
    """Remember the chat message that shows a deployment's progress."""
    await session.execute(
        update(Deployment)
        .where(Deployment.id == deployment_id, Deployment.customer_id == customer.id)
        .values(chat_message_id=message_id)
    )


async def shown_in(session: AsyncSession, customer: Customer, message_id: int) -> int:
    """Return the id of the deployment whose progress a chat message shows, 0 for none."""
    found = select(Deployment.id).where(Deployment.customer_id == customer.id, Deployment.chat_message_id == message_id)
    return await session.scalar(found.limit(1)) or 0


# --- for administrators


async def find(session: AsyncSession, deployment_id: int) -> Deployment:
    """Return any customer's deployment.

    Raises:
        NotFound: there is none with this id.
    """
    found = await session.get(Deployment, deployment_id)
    if found is None:
        raise NotFound("deployment", deployment_id)
    return found


async def counts(session: AsyncSession) -> Mapping[State, int]:
    """Return how many deployments are in each state."""
    rows = await session.execute(select(Deployment.state, func.count()).group_by(Deployment.state))
    found: dict[State, int] = {state: count for state, count in rows}  # noqa: C416 a Row is no tuple to mypy
    return {state: found.get(state, 0) for state in State}


async def page(
    session: AsyncSession,
    *,
    states: Sequence[State] = _SHOWN,
    customer_id: int | None = None,
    offset: int = 0,
    limit: int = 20,
) -> Sequence[tuple[Deployment, Customer]]:
    """Return deployments with whose they are, newest first; of one customer, or of all."""
    query = select(Deployment, Customer).join(Customer, Customer.id == Deployment.customer_id)
    mine = true() if customer_id is None else Deployment.customer_id == customer_id
    # The newest of each state, by its index: of all states together they would have to be sorted, a million for ten.
    newest = select(Deployment.id).where(mine).order_by(Deployment.id.desc()).limit(offset + limit)
    found = union_all(*(select(newest.where(Deployment.state == state).subquery().c.id) for state in states))
    rows = await session.execute(
        query.where(Deployment.id.in_(found)).order_by(Deployment.id.desc()).offset(offset).limit(limit)
    )
    return [(deployment, customer) for deployment, customer in rows]


# --- what they share


async def _of_quote(session: AsyncSession, quote: Quote) -> Deployment:
    return (
        await session.scalars(
            select(Deployment)
            .join(Subscription, Subscription.id == Deployment.subscription_id)
            .where(Subscription.quote_id == quote.id)
        )
    ).one()


async def _make(session: AsyncSession, quote: Quote, now: datetime, within: timedelta) -> Deployment:
    subscription = await subscriptions.create(session, quote, now=now)
    item = Item.parse(quote.item)
    deployment = Deployment(
        customer_id=quote.customer_id,
        subscription_id=subscription.id,
        kind=item.kind,
        name=quote.name,
        size=item.size,
        public=item.public,
        workers=quote.workers,
        state=State.IN_PROGRESS,
        created_at=now,
        deadline_at=now + within,
        reconcile_at=now,
    )
    session.add(deployment)
    await session.flush()
    nodes = new_nodes(deployment, now)
    session.add_all(nodes)
    log.info("deployment %s is wanted: %s", deployment.id, ", ".join(node.machine for node in nodes))
    quote.confirmed_at, quote.kept_until = now, None
    await session.flush()
    return deployment


async def _held(session: AsyncSession, customer: Customer, deployment_id: int) -> Deployment:
    """Return a customer's deployment, held against the worker that looks after it."""
    found = await session.scalar(
        select(Deployment)
        .where(Deployment.id == deployment_id, Deployment.customer_id == customer.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if found is None:
        raise NotFound("deployment", deployment_id)
    return found


async def _running(session: AsyncSession, customer: Customer, deployment_id: int) -> Deployment:
    deployment = await _held(session, customer, deployment_id)
    if deployment.state is not State.SUCCESS or deployment.power is PowerWish.SUSPENDED or deployment.by_hand:
        raise Conflict(f"deployment {deployment.id} is {deployment.state}, power {deployment.power}")
    return deployment


async def _delete(session: AsyncSession, deployment: Deployment, now: datetime) -> None:
    if deployment.state is State.FAILED:
        # Already ended; what is left of it, if anything, is still being removed.
        deployment.state = State.DELETED
        deployment.delete_asked_at = now
    elif deployment.state in ACTIVE:
        deployment.state = State.DELETING
        deployment.delete_asked_at = now
        deployment.detail = ""
        if deployment.by_hand:
            await records.leave_to_people(session, deployment, now)
        else:
            wake(deployment, now)
        await subscriptions.end(session, await _subscription(session, deployment), at=now)
    await session.flush()


async def _subscription(session: AsyncSession, deployment: Deployment) -> Subscription:
    return (await session.scalars(select(Subscription).where(Subscription.id == deployment.subscription_id))).one()


def wake(deployment: Deployment, now: datetime) -> None:
    """Have it looked after at once, whatever it was waiting for, and for as long as a new one."""
    log.info("deployment %s is wanted: %s, power %s", deployment.id, deployment.state, deployment.power)
    deployment.reconcile_at = now
    deployment.deadline_at = now + PROVISION_WITHIN
    deployment.attempts = 0

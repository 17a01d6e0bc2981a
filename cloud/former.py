"""People and machines of the system before this one: who comes by their link is a customer, with all they had there.

Until then nobody is billed for a machine, and nothing is done to it: docs/decisions/0011.
"""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from billing import accounts, audit, low_funds, subscriptions, vouchers
from billing.clock import DAY
from billing.contacts import DeadLink
from billing.errors import Conflict, NotFound
from billing.models import Customer, Subscription
from billing.terms import Terms
from cloud import key_ring, names
from cloud.key_ring import TooManyKeys
from cloud.models import Deployment, FormerMachine, FormerUser, Node, PowerWish, Role, State
from cloud.ssh_keys import BadKey

VALID_FOR = 14 * DAY
"""How long a link works; an administrator sends another."""
USER = "root"
"""Whom people log in as on machines of that system."""
SYSTEM = 0
"""Stands in vouchers for the import, where an administrator would."""

_LEASE = timedelta(minutes=10)
"""A mail that a dead process had in hand is sent again after it, with another code."""
_AGAIN = timedelta(minutes=15)
_REASON = 200
_NOTE = "from the former system"


@dataclass(frozen=True, slots=True)
class Arrived:
    """What somebody found here.

    Attributes:
        names: their machines and clusters.
        monthly: what all of them cost a month, minor units, without tax.
        funds: voucher money that was brought along.
        again: they had come before: nothing has changed.
    """

    names: tuple[str, ...]
    monthly: int
    funds: int
    again: bool = False


@dataclass(frozen=True, slots=True)
class Letter:
    """A link to be mailed.

    Attributes:
        user_id: whose row it is; `code` what the link carries.
        email: where it goes; `name` what they were called there.
        count: their machines and clusters; `monthly` what these cost, without tax; `funds` what they bring along.
        at: when it was taken in hand.
    """

    user_id: int
    code: str
    email: str
    name: str
    count: int
    monthly: int
    funds: int
    at: datetime


# --- coming


async def arrive(session: AsyncSession, customer: Customer, code: str, *, now: datetime, terms: Terms) -> Arrived:
    """Make a customer the owner of all that the user had to whom this code was mailed; once, for one person.

    Machines run on at the price that was set when they were imported (A19), billed from now on; the address is
    confirmed by the code having come through it. Told how far their money reaches where they have no card (A15).

    Raises:
        DeadLink: the code is unknown, too old, replaced by a newer one, or somebody else came by it.
    """
    customer = await accounts.lock(session, customer.id)
    user = await session.scalar(
        select(FormerUser)
        .where(FormerUser.code_hash == _hash(code))
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if user is None or user.customer_id not in {None, customer.id}:
        raise DeadLink(f"customer {customer.id} opened a link that is not theirs")
    if user.customer_id is not None:
        return await _arrived(session, user, again=True)
    if user.expires_at is None or user.expires_at <= now:
        raise DeadLink(f"customer {customer.id} opened a link of {user.mailed_at}")
    user.customer_id, user.matched_at, user.mail_at = customer.id, now, None
    customer.legacy = True
    customer.email = customer.email or user.email
    await _bring_key(session, customer, user, now)
    await _bring_funds(session, customer, user, now)
    user.name = user.email = user.public_key = ""  # theirs now, to change and to have deleted
    for machine in await _machines(session, user):
        await _adopt(session, customer, machine, now)
    audit.record(session, "former_user_came", actor=None, now=now, customer_id=customer.id, former=user.former_id)
    await session.flush()
    await low_funds.tell_if_low(session, customer, now=now, terms=terms)
    return await _arrived(session, user)


async def _arrived(session: AsyncSession, user: FormerUser, *, again: bool = False) -> Arrived:
    machines = await _machines(session, user)
    called = select(Deployment.name).where(Deployment.id.in_([machine.deployment_id for machine in machines]))
    found = (await session.scalars(called.order_by(Deployment.id))).all()
    return Arrived(tuple(found), sum(machine.monthly for machine in machines), user.funds, again=again)


async def _machines(session: AsyncSession, user: FormerUser) -> Sequence[FormerMachine]:
    mine = select(FormerMachine).where(FormerMachine.former_user_id == user.id)
    return (await session.scalars(mine.order_by(FormerMachine.id))).all()


async def _bring_key(session: AsyncSession, customer: Customer, user: FormerUser, now: datetime) -> None:
    try:
        await key_ring.add(session, customer, user.public_key, now=now)
    except (BadKey, TooManyKeys):
        return  # it is for machines to come: they are asked for one then


async def _bring_funds(session: AsyncSession, customer: Customer, user: FormerUser, now: datetime) -> None:
    if not user.funds:
        return
    made = await vouchers.issue(
        session, amount=user.funds, note=_NOTE, batch=f"former:{user.former_id}"[:64], actor=SYSTEM, now=now
    )
    if not await vouchers.take(session, customer, made.vouchers[0], now=now):
        raise Conflict(f"voucher {made.vouchers[0].id} was redeemed before it was shown to anybody")


async def _adopt(session: AsyncSession, customer: Customer, machine: FormerMachine, now: datetime) -> None:
    """Make a deployment of a machine: it runs, and is billed from now on."""
    nodes: list[dict[str, Any]] = machine.made_of["nodes"]
    workers = sum(node["role"] == Role.WORKER.value for node in nodes)
    name = await names.suggest(session, customer, machine.kind, machine.name)
    item = "-".join((machine.kind.value, machine.size, *(("public",) if machine.public else ())))
    subscription = Subscription(
        customer_id=customer.id, name=name, item=item, workers=workers, monthly=machine.monthly, created_at=now
    )
    session.add(subscription)
    await session.flush()
    deployment = Deployment(
        customer_id=customer.id,
        subscription_id=subscription.id,
        kind=machine.kind,
        name=name,
        size=machine.size,
        public=machine.public,
        workers=workers,
        state=State.SUCCESS,
        power=PowerWish.ON,
        created_at=machine.created_at,
        deadline_at=now,
        ready_at=now,
        adopted_at=now,
    )
    session.add(deployment)
    await session.flush()
    session.add_all(
        Node(
            deployment_id=deployment.id,
            role=Role(node["role"]),
            position=position,
            machine=f"former-{machine.id}-{position}",  # names nothing in any cloud: no driver is ever asked for it
            host=node["host"],
            host_key="",
            host_key_fingerprint="",
            created_at=now,
        )
        for position, node in enumerate(nodes)
    )
    machine.deployment_id = deployment.id
    await subscriptions.start(session, subscription, now=now)


# --- links


async def is_any_due(session: AsyncSession, *, now: datetime) -> bool:
    """Return whether a link is to be mailed now."""
    due = select(FormerUser.id).where(FormerUser.mail_at.is_not(None), FormerUser.mail_at <= now)
    return await session.scalar(due.limit(1)) is not None


async def next_letter(session: AsyncSession, *, now: datetime) -> Letter | None:
    """Take the next link that is to be mailed, with a new code; older ones stop working. `None` when none waits."""
    user = await session.scalar(
        select(FormerUser)
        .where(FormerUser.mail_at.is_not(None), FormerUser.mail_at <= now)
        .order_by(FormerUser.mail_at, FormerUser.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    if user is None:
        return None
    user.mail_at = now + _LEASE
    return await letter(session, user, now=now)


async def letter(session: AsyncSession, user: FormerUser, *, now: datetime) -> Letter:
    """Return a user's link with a new code; older ones stop working."""
    code = secrets.token_urlsafe(18)
    user.code_hash, user.expires_at = _hash(code), now + VALID_FOR
    await session.flush()
    of = select(func.count(), func.coalesce(func.sum(FormerMachine.monthly), 0))
    count, monthly = (await session.execute(of.where(FormerMachine.former_user_id == user.id))).one()
    return Letter(user.id, code, user.email, user.name, int(count), int(monthly), user.funds, now)


async def mailed(session: AsyncSession, sent: Letter, *, now: datetime) -> None:
    """Write down that a link was taken by the mail server."""
    await _ended(session, sent, mail_at=None, mailed_at=now, mail_error="")


async def not_mailed(session: AsyncSession, sent: Letter, reason: str, *, now: datetime, again: bool) -> None:
    """Write down that a link could not be mailed, and whether it is tried again."""
    mail_at = now + _AGAIN if again else None
    await _ended(session, sent, mail_at=mail_at, mail_error=reason[:_REASON])


async def _ended(session: AsyncSession, sent: Letter, **values: Any) -> None:  # noqa: ANN401 columns of the row
    """Write the result of a mail, unless another one has been asked for since."""
    mine = FormerUser.id == sent.user_id, FormerUser.code_hash == _hash(sent.code), FormerUser.customer_id.is_(None)
    await session.execute(update(FormerUser).where(*mine).values(**values))


def _hash(code: str) -> str:
    return hashlib.sha256(code.encode("utf-8", "replace")).hexdigest()


# --- for administrators, and for the sweep


async def missing(session: AsyncSession, *, offset: int = 0, limit: int = 8) -> tuple[Sequence[FormerUser], int]:
    """Return users who have not come yet, in the order of their import, and how many there are."""
    of = FormerUser.customer_id.is_(None)
    rows = await session.scalars(select(FormerUser).where(of).order_by(FormerUser.id).offset(offset).limit(limit))
    return rows.all(), await session.scalar(select(func.count()).select_from(FormerUser).where(of)) or 0


async def get(session: AsyncSession, user_id: int) -> tuple[FormerUser, Sequence[FormerMachine]]:
    """Return a user with what they had.

    Raises:
        NotFound: there is none with this id.
    """
    user = await session.get(FormerUser, user_id)
    if user is None:
        raise NotFound("former user", user_id)
    return user, await _machines(session, user)


async def send_again(session: AsyncSession, user_id: int, *, actor: int, now: datetime) -> FormerUser:
    """Have a link mailed anew; older ones stop working when it goes out.

    Raises:
        Conflict: they have come already.
        NotFound: there is none with this id.
    """
    user, _ = await get(session, user_id)
    if user.customer_id is not None:
        raise Conflict(f"former user {user.former_id} is customer {user.customer_id}")
    user.mail_at, user.mail_error = now, ""
    audit.record(session, "send_link_again", actor=actor, now=now, former=user.former_id)
    await session.flush()
    return user


async def machine_names(session: AsyncSession) -> set[str]:
    """Return what machines of the former system are called there: one that a cloud shows is nobody's to remove."""
    rows = await session.scalars(select(FormerMachine.made_of))
    return {node["name"] for made_of in rows for node in made_of["nodes"]}

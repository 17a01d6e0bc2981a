"""Customers and what they have."""

import re
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import bindparam, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from billing import audit, ledger, outbox
from billing.errors import NotFound
from billing.models import Customer

_TELEGRAM_ID = re.compile(r"[0-9]{1,18}", re.ASCII)
# Made once: at each update it takes longer to write the statement than to answer it.
_BY_TELEGRAM_ID = select(Customer).where(Customer.telegram_id == bindparam("telegram_id"))


async def register(
    session: AsyncSession, *, telegram_id: int, username: str, name: str, language: str, now: datetime
) -> Customer:
    """Return the customer with this Telegram id, made with their accounts if they are new."""
    customer = await by_telegram_id(session, telegram_id)
    if customer is None:
        customer = Customer(telegram_id=telegram_id, username=username, name=name, language=language, created_at=now)
        session.add(customer)
        await session.flush()
        await ledger.open_customer(session, customer.id)
    return customer


async def by_telegram_id(session: AsyncSession, telegram_id: int) -> Customer | None:
    """Return the customer with this Telegram id, if there is one."""
    return (await session.scalars(_BY_TELEGRAM_ID, {"telegram_id": telegram_id})).one_or_none()


async def get(session: AsyncSession, customer_id: int) -> Customer:
    """Return a customer.

    Raises:
        NotFound: there is none with this id.
    """
    customer = await session.get(Customer, customer_id)
    if customer is None:
        raise NotFound("customer", customer_id)
    return customer


async def lock(session: AsyncSession, customer_id: int) -> Customer:
    """Return a customer, held against every other money act of theirs until the transaction ends (rules.md 3.5, 6.9).

    SQLite has one writer at a time anyway; PostgreSQL locks the row.

    Raises:
        NotFound: there is none with this id.
    """
    customer = await session.get(Customer, customer_id, with_for_update=True, populate_existing=True)
    if customer is None:
        raise NotFound("customer", customer_id)
    return customer


# --- for administrators


async def find(session: AsyncSession, text: str) -> Customer:
    """Return the customer with a Telegram id, or with a user name written with or without @.

    Raises:
        NotFound: there is none.
    """
    wanted = text.strip().removeprefix("@")
    if _TELEGRAM_ID.fullmatch(wanted):
        found = await by_telegram_id(session, int(wanted))
    else:
        # A name may have gone from one person to another: who wrote last under it has the highest id.
        named = select(Customer).where(func.lower(Customer.username) == wanted.lower(), Customer.username != "")
        found = await session.scalar(named.order_by(Customer.id.desc()).limit(1))
    if found is None:
        raise NotFound("customer", text.strip())
    return found


async def search(session: AsyncSession, text: str, *, offset: int, limit: int) -> Sequence[Customer]:
    """Return customers whose name, user name, address or id holds a text, newest first; all for an empty text."""
    query = select(Customer)
    wanted = text.strip().removeprefix("@").lower()
    if wanted:
        columns = (Customer.name, Customer.username, Customer.email)
        matches = [func.lower(column).contains(wanted, autoescape=True) for column in columns]
        if _TELEGRAM_ID.fullmatch(wanted):
            matches += [Customer.telegram_id == int(wanted), Customer.id == int(wanted)]
        query = query.where(or_(*matches))
    return (await session.scalars(query.order_by(Customer.id.desc()).offset(offset).limit(limit))).all()


async def block(session: AsyncSession, customer_id: int, *, actor: int, now: datetime) -> Customer:
    """Stop new deployments of a customer; what runs goes on. Told to the customer. Again it changes nothing.

    Raises:
        NotFound: there is none with this id.
    """
    customer = await lock(session, customer_id)
    if customer.blocked_at is None:
        customer.blocked_at = now
        audit.record(session, "block", actor=actor, now=now, customer_id=customer.id)
        await outbox.tell(session, customer, "account_blocked", {}, now=now)
    return customer


async def unblock(session: AsyncSession, customer_id: int, *, actor: int, now: datetime) -> Customer:
    """Let a customer deploy again. Told to the customer. Again it changes nothing.

    Raises:
        NotFound: there is none with this id.
    """
    customer = await lock(session, customer_id)
    if customer.blocked_at is not None:
        customer.blocked_at = None
        audit.record(session, "unblock", actor=actor, now=now, customer_id=customer.id)
        await outbox.tell(session, customer, "account_unblocked", {}, now=now)
    return customer


async def set_limit(session: AsyncSession, customer_id: int, limit: int, *, actor: int, now: datetime) -> Customer:
    """Set a customer's own credit limit in minor units (rules.md 3.7, C18).

    Raises:
        NotFound: there is none with this id.
    """
    customer = await lock(session, customer_id)
    if customer.credit_limit != limit:
        audit.record(
            session, "limit", actor=actor, now=now, customer_id=customer.id, old=customer.credit_limit, new=limit
        )
        customer.credit_limit = limit
        await session.flush()
    return customer

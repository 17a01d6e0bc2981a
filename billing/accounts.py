"""Customers and what they have."""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from billing import ledger
from billing.errors import NotFound
from billing.models import Customer


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
    return (await session.scalars(select(Customer).where(Customer.telegram_id == telegram_id))).one_or_none()


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

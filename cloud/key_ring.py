"""A customer's SSH keys: put into every machine made after they were added (requirement B2)."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, exists, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from billing.errors import BillingError, NotFound
from billing.models import Customer
from cloud.models import SshKey
from cloud.ssh_keys import parse_public_key

MAX_KEYS = 20
"""Of one customer: user data, which clouds bound at 16 kB, must hold them all."""
_COMMENT = 100


class TooManyKeys(BillingError):
    """The customer has as many keys as fit; one must go first."""


async def add(session: AsyncSession, customer: Customer, text: str, *, now: datetime) -> SshKey:
    """Return the key that a customer sent; one that they have already is returned as it is.

    Raises:
        BadKey: not a public key; its text says what to do.
        TooManyKeys: there is no room for another.
    """
    key = parse_public_key(text)
    found = await session.scalar(
        select(SshKey).where(SshKey.customer_id == customer.id, SshKey.fingerprint == key.fingerprint)
    )
    if found is not None:
        return found
    count = await session.scalar(select(func.count()).where(SshKey.customer_id == customer.id))
    if (count or 0) >= MAX_KEYS:
        raise TooManyKeys(f"customer {customer.id} has {count} keys")
    row = SshKey(
        customer_id=customer.id,
        public_key=key.line,
        fingerprint=key.fingerprint,
        comment=key.comment[:_COMMENT],
        added_at=now,
    )
    session.add(row)
    await session.flush()
    return row


async def remove(session: AsyncSession, customer: Customer, key_id: int) -> None:
    """Take a key off the profile; machines that have it keep it.

    Raises:
        NotFound: there is none with this id, or it is another's.
    """
    removed = await session.scalar(
        delete(SshKey).where(SshKey.id == key_id, SshKey.customer_id == customer.id).returning(SshKey.id)
    )
    if removed is None:
        raise NotFound("ssh key", key_id)


async def clear(session: AsyncSession, customer: Customer) -> None:
    """Take every key off the profile; machines that have one keep it."""
    await session.execute(delete(SshKey).where(SshKey.customer_id == customer.id))


async def listed(session: AsyncSession, customer: Customer) -> Sequence[SshKey]:
    """Return a customer's keys, oldest first."""
    return (await session.scalars(select(SshKey).where(SshKey.customer_id == customer.id).order_by(SshKey.id))).all()


async def has_key(session: AsyncSession, customer: Customer) -> bool:
    """Return whether a customer could log in to a new machine."""
    return bool(await session.scalar(select(exists().where(SshKey.customer_id == customer.id))))

"""E-mail addresses: used only after their owner has opened the link that was mailed there."""

import hashlib
import re
import secrets
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from billing import accounts
from billing.clock import DAY
from billing.errors import BillingError
from billing.models import Customer, EmailConfirmation

VALID_FOR = timedelta(days=2)
"""How long a link works."""
MAILS_A_DAY = 5
"""Links that one customer can have mailed in a day: addresses are typed by anybody, and may be a stranger's."""
LONGEST = 254
"""Characters of an address that mail servers carry."""

_LABEL = r"[^\W_](?:[^\W_]|-(?=.*[^\W_]))*"
_ADDRESS = re.compile(rf"[^\s@<>()\[\]\\,;:\"\x00-\x1f\x7f]{{1,64}}@(?:{_LABEL}\.)+{_LABEL}")


class BadAddress(BillingError):
    """The text is no e-mail address."""


class TooManyMails(BillingError):
    """The customer had as many links mailed as a day allows."""


class DeadLink(BillingError):
    """The link is unknown, another's, used, replaced by a newer one, or too old: the five are not told apart."""


async def request_email(session: AsyncSession, customer: Customer, text: str, *, now: datetime) -> tuple[str, str]:
    """Return the address that a text holds and the token to be mailed there; earlier links stop working.

    Raises:
        BadAddress: the text is no address.
        TooManyMails: not today any more.
    """
    address = text.strip().removeprefix("mailto:")
    if len(address) > LONGEST or not _ADDRESS.fullmatch(address):
        raise BadAddress(f"customer {customer.id} typed no address")
    await accounts.lock(session, customer.id)
    asked = await session.scalar(
        select(func.count()).where(
            EmailConfirmation.customer_id == customer.id, EmailConfirmation.created_at > now - DAY
        )
    )
    if (asked or 0) >= MAILS_A_DAY:
        raise TooManyMails(f"customer {customer.id} had {asked} links mailed")
    token = secrets.token_urlsafe(18)
    session.add(
        EmailConfirmation(
            customer_id=customer.id,
            address=address,
            token_hash=_hash(token),
            created_at=now,
            expires_at=now + VALID_FOR,
        )
    )
    await session.flush()
    return address, token


async def confirm_email(session: AsyncSession, customer: Customer, token: str, *, now: datetime) -> str:
    """Return the address that is the customer's from now on; opened twice it says so twice.

    Raises:
        DeadLink: the link does not work, or not for this customer.
    """
    found = await _pending(session, await accounts.lock(session, customer.id))
    if found is None or not secrets.compare_digest(found.token_hash, _hash(token)):
        raise DeadLink(f"customer {customer.id} opened a link that is not theirs")
    if found.used_at is None:
        if found.expires_at <= now:
            raise DeadLink(f"customer {customer.id} opened a link of {found.created_at}")
        found.used_at = now
        (await accounts.get(session, customer.id)).email = found.address
        await session.flush()
    return found.address


async def waiting_email(session: AsyncSession, customer: Customer, *, now: datetime) -> str:
    """Return the address whose link was mailed and not opened yet; empty if there is none."""
    found = await _pending(session, customer)
    return found.address if found and found.used_at is None and found.expires_at > now else ""


async def forget_email(session: AsyncSession, customer: Customer, *, now: datetime) -> None:
    """Use no address any more; a link that is under way stops working."""
    customer = await accounts.lock(session, customer.id)
    customer.email = None
    found = await _pending(session, customer)
    if found is not None:
        found.expires_at = min(found.expires_at, now)
        found.used_at = None
    await session.flush()


async def _pending(session: AsyncSession, customer: Customer) -> EmailConfirmation | None:
    """Return the newest link: the only one that counts."""
    return (
        await session.scalars(
            select(EmailConfirmation)
            .where(EmailConfirmation.customer_id == customer.id)
            .order_by(EmailConfirmation.id.desc())
            .limit(1)
        )
    ).one_or_none()


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()

"""Names of deployments: host names, unique per customer and kind while they live (requirement B2)."""

import re
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from billing.errors import BillingError
from billing.models import Customer, Kind
from cloud.models import Deployment, State

LENGTH_MAX = 63
"""Of a label (RFC 1123)."""
LIVE = (State.IN_PROGRESS, State.SUCCESS, State.DELETING)
"""States in which a name is taken."""

_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")


class Fault(StrEnum):
    """What is wrong with a name."""

    EMPTY = "empty"
    TOO_LONG = "too_long"
    CHARACTERS = "characters"
    """Something other than a-z, 0-9 and hyphens."""
    HYPHENS = "hyphens"
    """It begins or ends with one."""


class BadName(BillingError):
    """The text cannot be a host name; `suggestion` is the nearest one that can, or empty."""

    def __init__(self, text: str, fault: Fault) -> None:
        """Keep the text and what is wrong with it."""
        super().__init__(f"{text!r} is no host name: {fault}")
        self.text = text
        self.fault = fault
        self.suggestion = _nearest(text)


def check(text: str) -> str:
    """Return the name that was typed, without blanks around it.

    Raises:
        BadName: it cannot be a host name.
    """
    name = text.strip()
    if not name:
        raise BadName(text, Fault.EMPTY)
    if len(name) > LENGTH_MAX:
        raise BadName(text, Fault.TOO_LONG)
    if _LABEL.fullmatch(name):
        return name
    raise BadName(text, Fault.HYPHENS if re.fullmatch(r"[a-z0-9-]+", name) else Fault.CHARACTERS)


async def is_taken(session: AsyncSession, customer: Customer, kind: Kind, name: str) -> bool:
    """Return whether a live deployment of this customer and kind has the name."""
    return name in await _taken(session, customer, kind)


async def suggest(session: AsyncSession, customer: Customer, kind: Kind, like: str = "") -> str:
    """Return a free name: `like` itself, or numbered, or the kind numbered where nothing is wished for."""
    taken = await _taken(session, customer, kind)
    if like and like not in taken:
        return like
    base = re.sub(r"-\d+$", "", like) or kind.value
    first = 2 if like else 1
    # One more number than there are names: one of them is free.
    numbers = range(first, first + len(taken) + 1)
    return next(name for name in (joined(base, str(number)) for number in numbers) if name not in taken)


async def _taken(session: AsyncSession, customer: Customer, kind: Kind) -> set[str]:
    return set(
        await session.scalars(
            select(Deployment.name).where(
                Deployment.customer_id == customer.id, Deployment.kind == kind, Deployment.state.in_(LIVE)
            )
        )
    )


def joined(base: str, ending: str) -> str:
    """Return a host name with an ending, the base cut where both would be too long."""
    return f"{base[: LENGTH_MAX - len(ending) - 1].rstrip('-')}-{ending}"


def _nearest(text: str) -> str:
    name = re.sub(r"[^a-z0-9]+", "-", text.strip().lower())[:LENGTH_MAX].strip("-")
    return name if _LABEL.fullmatch(name) else ""

"""The chat's own list of stars against our payments (C13): what differs is said, and nothing is changed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest
from sqlalchemy import update

from billing import stars_reconciliation
from billing.clock import DAY, HOUR, ManualClock
from billing.db import Database
from billing.gateway import OutcomeUnknown
from billing.models import Payment
from billing.stars import StarsDesk
from billing.stars_reconciliation import Move
from tests.billing.test_stars import NOW, Chat, begin, customer_in, paid

TAKEN = Move("charge", 251, back=False, at=NOW)
BACK = replace(TAKEN, back=True)
LATER = NOW + 2 * HOUR


@dataclass
class Listed:
    """A chat that lists what it is told to."""

    listed: Sequence[Move]

    async def moves(self) -> Sequence[Move]:
        """What moved."""
        return self.listed


class Silent:
    """A chat that does not answer."""

    async def moves(self) -> Sequence[Move]:
        """Say nothing."""
        raise OutcomeUnknown("reset")


async def compared(database: Database, *moves: Move, after: timedelta = 2 * HOUR) -> list[str]:
    """What is said, without the check's name."""
    found = await stars_reconciliation.differences(database, Listed(moves), now=NOW + after)
    return [str(one).partition(": ")[2] for one in found]


async def refunded(database: Database) -> Payment:
    """A payment that we gave back."""
    payment = await begin(database, await paid(database, await customer_in(database)))
    await StarsDesk(database, Chat(), ManualClock(NOW)).refund(payment.id)
    return payment


async def test_nothing_differs_after_a_payment_and_a_refund(database: Database) -> None:
    """C13, rule 7.5."""
    await paid(database, await customer_in(database))
    assert await compared(database, TAKEN) == []
    assert await compared(database, TAKEN, after=3 * DAY) == []


async def test_a_refund_is_found_there(sqlite_database: Database) -> None:
    payment = await refunded(sqlite_database)
    assert await compared(sqlite_database, TAKEN, BACK) == []
    assert await compared(sqlite_database, TAKEN) == [
        f"payment {payment.id}: expected 251 stars given back, found none"
    ]


async def test_stars_that_no_payment_knows(sqlite_database: Database) -> None:
    """Said again on the following days; what is of this minute may be on its way."""
    assert await compared(sqlite_database, TAKEN, after=HOUR / 2) == []
    expected = ["charge charge: expected a payment here, found 251 stars taken for none"]
    assert await compared(sqlite_database, TAKEN) == expected
    assert await compared(sqlite_database, TAKEN, after=2 * DAY) == expected
    assert await compared(sqlite_database, TAKEN, after=4 * DAY) == expected
    assert await compared(sqlite_database, TAKEN, after=8 * DAY) == []


async def test_a_payment_that_the_chat_does_not_know(sqlite_database: Database) -> None:
    payment = await paid(sqlite_database, await customer_in(sqlite_database))
    assert await compared(sqlite_database) == [f"payment {payment.id}: expected 251 stars taken, found none"]


@pytest.mark.parametrize(
    ("moves", "expected"),
    [
        ((replace(TAKEN, stars=250),), "expected 250 stars, found 251"),
        ((TAKEN, BACK), "expected 251 stars given back, found kept"),
    ],
)
async def test_other_stars_than_ours(sqlite_database: Database, moves: tuple[Move, ...], expected: str) -> None:
    payment = await paid(sqlite_database, await customer_in(sqlite_database))
    assert await compared(sqlite_database, *moves) == [f"payment {payment.id}: {expected}"]


async def test_nothing_is_changed_and_a_refund_that_waits_is_no_difference(sqlite_database: Database) -> None:
    payment = await begin(sqlite_database, await paid(sqlite_database, await customer_in(sqlite_database)))
    assert await compared(sqlite_database, TAKEN) == []
    async with sqlite_database.transaction() as session:
        await session.execute(update(Payment).where(Payment.id == payment.id).values(stars=9))
    await compared(sqlite_database, TAKEN)
    async with sqlite_database.read() as session:
        after = await session.get_one(Payment, payment.id)
    assert (after.stars, after.refunded) == (9, payment.refunded)


async def test_a_chat_that_does_not_answer_is_asked_for_the_same_days_again(sqlite_database: Database) -> None:
    await paid(sqlite_database, await customer_in(sqlite_database))
    with pytest.raises(OutcomeUnknown):
        await stars_reconciliation.differences(sqlite_database, Silent(), now=LATER)
    assert len(await compared(sqlite_database, after=30 * DAY)) == 1


async def test_where_stars_are_not_taken_nobody_is_asked(sqlite_database: Database) -> None:
    assert await stars_reconciliation.differences(sqlite_database, Silent(), now=LATER, offered=False) == []
    await paid(sqlite_database, await customer_in(sqlite_database))
    with pytest.raises(OutcomeUnknown):
        await stars_reconciliation.differences(sqlite_database, Silent(), now=LATER, offered=False)

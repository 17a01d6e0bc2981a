"""How long voucher and balance last if everything goes on as it is (rules.md 9.4, C4). Pure: facts in, instant out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from billing import metering
from billing.clock import HOUR, Month
from billing.terms import Terms

_MONTHS = 120
"""Nobody plans further: money that lasts so long lasts."""


@dataclass(frozen=True, slots=True)
class Runner:
    """A deployment that runs on.

    Attributes:
        name: as its owner called it.
        monthly: its price without tax.
        spans: this month's times in which it ran; the last one is open.
    """

    name: str
    monthly: int
    spans: Sequence[metering.Span]


@dataclass(frozen=True, slots=True)
class Purse:
    """What there is to live on; minor units.

    Attributes:
        funds: voucher and balance that can be spent.
        owed: what they have to pay first: open invoices and earlier months that no invoice names yet, with tax.
        ended: this month's cost, without tax, of what runs no more.
        runners: what goes on.
    """

    funds: int
    owed: int
    ended: int
    runners: tuple[Runner, ...]

    @property
    def monthly(self) -> int:
        """Monthly prices of all that goes on, without tax."""
        return sum(runner.monthly for runner in self.runners)

    def used(self, now: datetime, terms: Terms) -> int:
        """Return what was used since the month began, without tax."""
        return _cost(self, Month.of(now), now, terms)

    @property
    def dearest(self) -> Runner | None:
        """The deployment whose end would help most; the oldest of equal ones."""
        return max(self.runners, key=lambda runner: runner.monthly, default=None)


def lasts_until(purse: Purse, *, now: datetime, terms: Terms, months: int = _MONTHS) -> datetime | None:
    """Return when funds no longer cover what was used; `now` when they do not today.

    `None` when nothing runs and all is covered, or when they last for so many months, this one the first.
    """
    left = purse.funds - purse.owed
    month = Month.of(now)
    if left < terms.with_tax(_cost(purse, month, now, terms)):
        return now
    if not purse.runners:
        return None
    this_month = terms.with_tax(_cost(purse, month, month.end, terms))
    if this_month > left:
        return _within(purse, left, month, now, terms)
    # No month is shorter than the hours that cost its whole price (rules.md 4.3): all that follow cost the same.
    whole = terms.with_tax(purse.monthly)
    paid, left = divmod(left - this_month, whole) if whole else (months, 0)
    if paid + 1 >= months:
        return None
    for _ in range(paid + 1):
        month = month.next()
    return _within(replace(purse, ended=0), left, month, now, terms)


def _within(purse: Purse, left: int, month: Month, now: datetime, terms: Terms) -> datetime:
    """Return the first full hour of a month before which what was used costs more than is left."""
    start = max(now, month.start)
    enough, too_long = 0, -((start - month.end) // HOUR)
    while too_long - enough > 1:
        middle = (enough + too_long) // 2
        if terms.with_tax(_cost(purse, month, start + middle * HOUR, terms)) > left:
            too_long = middle
        else:
            enough = middle
    return start + enough * HOUR


def _cost(purse: Purse, month: Month, until: datetime, terms: Terms) -> int:
    """Return what a month costs until an instant, without tax."""
    return purse.ended + sum(
        metering.cost(runner.monthly, metering.hours_in(runner.spans, month, until), terms.currency)
        for runner in purse.runners
    )

"""Unpaid invoices: facts and now -> what is due next (rules.md 9). Pure.

A position in the sequence is never stored: it follows from what is open, what runs, and which messages went out
(rules.md 9.6). `standing` reads these facts; `reminders` and `cloud.overdue` carry out what is decided here.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

from billing.clock import DAY, add_months
from billing.models import NoticeStatus
from billing.terms import Terms

PROOF_WITHIN = timedelta(days=30)
"""A message that named the deletion day counts for so long."""
NOTICE = timedelta(hours=24)
"""The least time between such a message and the deletion (rules.md 9.3)."""
WEEK_BEFORE = 7
DAY_BEFORE = 1
REMINDED_MONTHS = 12
"""For so long somebody with nothing to be deleted is reminded (rules.md 9.1)."""
GIVEN_DAYS = 30
"""What an administrator gives at one tap to somebody who could not be told."""


class Purpose(StrEnum):
    """Why a reminder goes out; one message may serve several."""

    REGULAR = "regular"
    """The weekly one; for somebody with nothing to be deleted, the monthly one."""
    WEEK_BEFORE = "week_before"
    DAY_BEFORE = "day_before"
    """The last one before the deletion, however late it is."""


class Act(StrEnum):
    """What becomes of the deployments of somebody who owes."""

    NOTHING = "nothing"
    TELL = "tell"
    """The day is there, and no message named it: one has to, first."""
    WAIT = "wait"
    """A message is on its way, or younger than a day, or names a day to come."""
    ASK = "ask"
    """No message could be delivered: an administrator decides (C12)."""
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Open:
    """An invoice that is due.

    Attributes:
        invoice_id: which; `number` is what people call it.
        amount: what is to be paid, in minor units; disputed money is not (rules.md 10.1).
        since: the instant since which it is due (rules.md 6.4).
    """

    invoice_id: int
    number: str
    amount: int
    since: datetime


@dataclass(frozen=True, slots=True)
class Told:
    """A reminder on one channel.

    Attributes:
        purposes: why it went out.
        names: the deletion day that it named; none where there was none.
        at: when it was written.
        status: where it stands, since `ended_at` where it has ended.
    """

    purposes: frozenset[Purpose]
    names: date | None
    at: datetime
    status: NoticeStatus
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of somebody who owes.

    Attributes:
        customer_id: who.
        invoices: what is due, oldest first; what waits for the card's minimum is not in it.
        active: whether they have anything that could be deleted.
        unknown: a payment's result is unknown at the provider (rules.md 9.5).
        spared_until: an administrator gave time until this day.
        told: reminders of the last year, oldest first.
    """

    customer_id: int
    invoices: tuple[Open, ...]
    active: bool = False
    unknown: bool = False
    spared_until: date | None = None
    told: tuple[Told, ...] = ()

    @property
    def total(self) -> int:
        """All that is due, in minor units."""
        return sum(invoice.amount for invoice in self.invoices)

    @property
    def since(self) -> datetime:
        """The instant since which the oldest is due."""
        return min(invoice.since for invoice in self.invoices)


@dataclass(frozen=True, slots=True)
class Reminder:
    """A message to write now.

    Attributes:
        purposes: why.
        names: the deletion day that it names, none where nothing can be deleted.
    """

    purposes: frozenset[Purpose]
    names: date | None


def owes(standing: Standing, terms: Terms) -> bool:
    """Return whether anything is to be reminded of: less than a card can be charged waits (rules.md 6.4)."""
    return bool(standing.invoices) and standing.total >= terms.card_minimum


def deletion_day(standing: Standing, terms: Terms) -> date:
    """Return the day on which deployments are deleted: the oldest invoice's and the grace (rules.md 9.2)."""
    day = add_months(standing.since, terms.grace_months).date()
    return max(day, standing.spared_until or day)


def day_to_name(standing: Standing, now: datetime, terms: Terms) -> date:
    """Return the day that a message of now has to name: at least a day is between it and the deletion."""
    return max(deletion_day(standing, terms), (now + NOTICE).date())


# --- reminders


def next_reminder(standing: Standing, now: datetime, terms: Terms) -> Reminder | None:
    """Return the message that is due, one for everything that has become due since the last (rules.md 9.1)."""
    if not owes(standing, terms) or standing.unknown:
        return None
    if not standing.active:
        return Reminder(frozenset({Purpose.REGULAR}), None) if _month_is_over(standing, now) else None
    day = deletion_day(standing, terms)
    purposes = {
        purpose
        for purpose, is_due in (
            (Purpose.REGULAR, _week_is_over(standing, now, terms)),
            (Purpose.WEEK_BEFORE, _is_due_before(standing, now, day, WEEK_BEFORE, Purpose.WEEK_BEFORE)),
            (Purpose.DAY_BEFORE, _is_due_before(standing, now, day, DAY_BEFORE, Purpose.DAY_BEFORE)),
        )
        if is_due
    }
    if Purpose.DAY_BEFORE in purposes:
        purposes.discard(Purpose.WEEK_BEFORE)
    return Reminder(frozenset(purposes), day_to_name(standing, now, terms)) if purposes else None


def _week_is_over(standing: Standing, now: datetime, terms: Terms) -> bool:
    last = max([standing.since, *(told.at for told in standing.told if Purpose.REGULAR in told.purposes)])
    return (now.date() - last.date()).days >= terms.reminder_days


def _month_is_over(standing: Standing, now: datetime) -> bool:
    """Whether a month has passed since anything was said, within the year."""
    if now.date() > add_months(standing.since, REMINDED_MONTHS).date():
        return False
    last = max([standing.since, *(told.at for told in standing.told)])
    return now.date() >= add_months(last, 1).date()


def _is_due_before(standing: Standing, now: datetime, day: date, days: int, purpose: Purpose) -> bool:
    """Whether a message so many days before the deletion is due: the time has come, and none of late was for it.

    One that was for an earlier day, before the oldest invoice was paid or time was given, does not count.
    """
    if (day - now.date()).days > days:
        return False
    wanted = {purpose, Purpose.DAY_BEFORE}
    return not any(told.purposes & wanted for told in _naming(standing, day, now))


# --- deletion


def next_act(standing: Standing, now: datetime, terms: Terms) -> Act:
    """Return what is to be done with somebody's deployments now (rules.md 9.2, 9.3, 9.5)."""
    if not owes(standing, terms) or not standing.active or standing.unknown:
        return Act.NOTHING
    day = deletion_day(standing, terms)
    if now.date() < day:
        return Act.NOTHING
    naming = _naming(standing, day, now)
    if any(_proves(told, now) for told in naming):
        return Act.DELETE
    if any(told.status in {NoticeStatus.WAITING, NoticeStatus.SENT} for told in naming):
        return Act.WAIT
    if any(told.status in {NoticeStatus.REFUSED, NoticeStatus.PARKED} for told in naming):
        return Act.ASK
    return Act.TELL


def _naming(standing: Standing, day: date, now: datetime) -> list[Told]:
    """Return the messages of the last 30 days that named this deletion day, or a later one that follows from it."""
    return [
        told
        for told in standing.told
        if told.names is not None and told.names >= day and (told.ended_at or told.at) >= now - PROOF_WITHIN
    ]


def _proves(told: Told, now: datetime) -> bool:
    """Whether a message was delivered long enough ago, and the day that it named has come (rules.md 9.3)."""
    delivered = told.status is NoticeStatus.SENT and told.ended_at is not None and told.ended_at <= now - NOTICE
    return delivered and told.names is not None and told.names <= now.date()


# --- power


def is_suspended(standing: Standing, now: datetime, terms: Terms) -> bool:
    """Return whether machines are off for debt now: some days before they are deleted, where that is wished (C17)."""
    if not terms.suspend_days or not owes(standing, terms) or not standing.active:
        return False
    return now.date() >= deletion_day(standing, terms) - terms.suspend_days * DAY

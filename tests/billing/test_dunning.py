"""What follows an unpaid invoice, decided from facts alone (rules.md 9)."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing import dunning
from billing.clock import DAY, HOUR
from billing.dunning import Act, Open, Purpose, Reminder, Standing, Told
from billing.models import NoticeStatus
from billing.money import Currency
from billing.terms import Terms
from tests.billing.builders import at

TERMS = Terms(Currency.of("usd"))
FEBRUARY = Open(1, "INV-2026-000001", 500, at("2026-02-01 00:10"))
MARCH = Open(2, "INV-2026-000002", 700, at("2026-03-01 00:10"))
DAY_OF_DELETION = date(2026, 5, 1)
SENT, REFUSED, WAITING = NoticeStatus.SENT, NoticeStatus.REFUSED, NoticeStatus.WAITING


@dataclass
class Debtor:
    """Somebody who owes, with the jobs running every day at 9:00 and 9:30."""

    standing: Standing
    delivery: NoticeStatus = SENT
    terms: Terms = TERMS
    told: list[tuple[str, list[str], str | None]] = field(default_factory=list)
    deleted_on: date | None = None
    asked: bool = False

    def live(self, first: str, last: str, *, jobs: Sequence[str] = ("remind", "reap")) -> "Debtor":
        """Run the jobs of every day from the first to the last."""
        day = at(first)
        while day <= at(last):
            if "remind" in jobs:
                self.remind(day + 9 * HOUR)
            if "reap" in jobs:
                self.reap(day + 9.5 * HOUR)
            day += DAY
        return self

    def remind(self, now: datetime) -> None:
        reminder = dunning.next_reminder(self.standing, now, self.terms)
        if reminder is None:
            return
        named = reminder.names.isoformat() if reminder.names else None
        self.told.append((f"{now:%m-%d}", sorted(reminder.purposes), named))
        self.hear(message(now, reminder, self.delivery))

    def hear(self, told: Told) -> None:
        self.standing = replace(self.standing, told=(*self.standing.told, told))

    def reap(self, now: datetime) -> None:
        act = dunning.next_act(self.standing, now, self.terms)
        if act is Act.TELL:
            self.remind(now)
        if act is Act.ASK:
            self.asked = True
        if act is Act.DELETE:
            self.deleted_on = self.deleted_on or now.date()
            self.standing = replace(self.standing, active=False)

    @property
    def days(self) -> list[str]:
        return [day for day, *_ in self.told]


def message(now: datetime, reminder: Reminder, status: NoticeStatus = SENT) -> Told:
    ended = None if status is WAITING else now + timedelta(seconds=5)
    return Told(reminder.purposes, reminder.names, now, status, ended)


def debtor(*invoices: Open, active: bool = True, **more: object) -> Debtor:
    return Debtor(replace(Standing(1, invoices or (FEBRUARY,), active=active), **more))  # type: ignore[arg-type]


def naming(day: date, sent_at: datetime | None, *, status: NoticeStatus = SENT) -> Told:
    written = sent_at or at("2026-04-30")
    return Told(frozenset({Purpose.REGULAR}), day, written, status, sent_at)


def test_a_reminder_every_week_and_7_days_and_1_day_before_deletion() -> None:
    """9.1: every 7 days, also 7 days and 1 day before the deletion; every one names the day (9.2)."""
    ann = debtor().live("2026-02-01", "2026-05-02")
    weekly = [f"{at('2026-02-01') + week * 7 * DAY:%m-%d}" for week in range(1, 13)]
    assert ann.days == sorted([*weekly, "04-24", "04-30"])
    assert ("04-24", ["week_before"], "2026-05-01") in ann.told
    assert ("04-30", ["day_before"], "2026-05-01") in ann.told
    assert {named for *_, named in ann.told} == {"2026-05-01"}
    assert ann.deleted_on == DAY_OF_DELETION


def test_one_message_a_day_serves_all_that_is_due() -> None:
    """9.1: the weekly one and the one a day before fall on one day: one message."""
    ann = debtor(replace(FEBRUARY, since=at("2026-11-01 00:10"))).live("2026-11-01", "2027-01-31")
    assert ann.told[-2:] == [
        ("01-25", ["week_before"], "2027-02-01"),
        ("01-31", ["day_before", "regular"], "2027-02-01"),
    ]


def test_the_days_between_reminders_are_a_setting() -> None:
    ann = debtor()
    ann.terms = Terms(Currency.of("usd"), reminder_days=14)
    assert ann.live("2026-02-01", "2026-03-10").days == ["02-15", "03-01"]


def test_one_message_has_all_open_invoices() -> None:
    """9.1: a second invoice begins no second row of reminders."""
    ann = debtor(FEBRUARY, MARCH).live("2026-03-01", "2026-03-20")
    assert ann.days == ["03-01", "03-08", "03-15"]
    assert ann.standing.total == 1200


def test_without_deployments_monthly_for_a_year_and_no_day() -> None:
    """9.1: a customer with no active deployments."""
    ann = debtor(active=False).live("2026-02-01", "2027-06-01")
    assert len(ann.told) == 12
    assert ann.days[:3] == ["03-01", "04-01", "05-01"]
    assert ann.days[-1] == "02-01"
    assert {named for *_, named in ann.told} == {None}


def test_after_the_deletion_the_debt_stays_and_is_reminded_monthly() -> None:
    """9.2 and 9.1."""
    ann = debtor().live("2026-02-01", "2027-06-01")
    after = [day for day, _, named in ann.told if named is None]
    assert after == ["05-30", "06-30", "07-30", "08-30", "09-30", "10-30", "11-30", "12-30", "01-30"]


def test_what_waits_for_the_minimum_is_neither_reminded_nor_overdue() -> None:
    """6.4: a rest of 49 cents waits for the next invoice."""
    ann = debtor(replace(FEBRUARY, amount=49)).live("2026-02-01", "2026-06-01")
    assert ann.told == []
    assert ann.deleted_on is None


def test_the_clock_may_jump_and_one_reminder_goes_out_not_four() -> None:
    """9.6: after an outage of weeks the position is what the facts say."""
    ann = debtor().live("2026-02-01", "2026-02-16").live("2026-03-20", "2026-04-04")
    assert ann.days == ["02-08", "02-15", "03-20", "03-27", "04-03"]


@pytest.mark.parametrize("jobs", [("remind",), ("reap",), ("remind", "reap")])
def test_jobs_twice_are_jobs_once(jobs: tuple[str, ...]) -> None:
    """9.6: whatever is run again finds its message there."""
    once = debtor().live("2026-02-01", "2026-05-02", jobs=jobs)
    twice = debtor()
    day = at("2026-02-01")
    while day <= at("2026-05-02"):
        for _ in range(3):
            twice.live(f"{day:%Y-%m-%d}", f"{day:%Y-%m-%d}", jobs=jobs)
        day += DAY
    assert twice.told == once.told


def test_the_deletion_day_is_three_months_after_the_oldest_is_due() -> None:
    """9.2, and a day that the month does not have."""
    assert dunning.deletion_day(debtor(FEBRUARY, MARCH).standing, TERMS) == DAY_OF_DELETION
    last = replace(FEBRUARY, since=at("2025-11-30 10:00"))
    assert dunning.deletion_day(debtor(last).standing, TERMS) == date(2026, 2, 28)
    assert dunning.deletion_day(debtor().standing, Terms(Currency.of("usd"), grace_months=1)) == date(2026, 3, 1)


def test_a_part_payment_moves_the_day_only_if_it_pays_the_oldest() -> None:
    """9.2."""
    part = debtor(replace(FEBRUARY, amount=100), MARCH).standing
    assert dunning.deletion_day(part, TERMS) == DAY_OF_DELETION
    assert dunning.deletion_day(debtor(MARCH).standing, TERMS) == date(2026, 6, 1)


def test_a_day_that_moved_is_announced_anew() -> None:
    """9.3: what named the day before the oldest was paid is no proof for the new one."""
    ann = debtor(FEBRUARY, MARCH).live("2026-03-01", "2026-04-30")
    ann.standing = replace(ann.standing, invoices=(MARCH,))
    ann.live("2026-05-01", "2026-06-02")
    assert ("05-25", ["week_before"], "2026-06-01") in ann.told
    assert ("05-31", ["day_before", "regular"], "2026-06-01") in ann.told
    assert ann.deleted_on == date(2026, 6, 1)


NOON = at("2026-05-01 12:00")


@pytest.mark.parametrize(
    ("told", "act"),
    [
        ([], Act.TELL),
        ([naming(DAY_OF_DELETION, NOON - 24 * HOUR)], Act.DELETE),
        ([naming(DAY_OF_DELETION, NOON - timedelta(hours=23, minutes=59))], Act.WAIT),
        ([naming(DAY_OF_DELETION, NOON - 30 * DAY)], Act.DELETE),
        ([naming(DAY_OF_DELETION, NOON - 30 * DAY - HOUR)], Act.TELL),
        ([naming(DAY_OF_DELETION, None, status=WAITING)], Act.WAIT),
        ([naming(DAY_OF_DELETION, NOON - 3 * DAY, status=REFUSED)], Act.ASK),
        ([naming(DAY_OF_DELETION, NOON - 3 * DAY, status=NoticeStatus.PARKED)], Act.ASK),
        ([naming(DAY_OF_DELETION, NOON - 3 * DAY, status=NoticeStatus.MOOT)], Act.TELL),
        ([naming(DAY_OF_DELETION, NOON - 3 * DAY, status=REFUSED), naming(DAY_OF_DELETION, NOON - DAY)], Act.DELETE),
        ([naming(date(2026, 4, 30), NOON - 2 * DAY)], Act.TELL),
        ([naming(date(2026, 5, 2), NOON - 2 * DAY)], Act.WAIT),
        ([Told(frozenset({Purpose.REGULAR}), None, NOON - 2 * DAY, SENT, NOON - 2 * DAY)], Act.TELL),
    ],
)
def test_no_deletion_without_proof_of_notice(told: list[Told], act: Act) -> None:
    """9.3: a message that names the day, delivered between 30 days and 24 hours before."""
    assert dunning.next_act(debtor(told=tuple(told)).standing, NOON, TERMS) is act


def test_nothing_is_deleted_before_the_day() -> None:
    """9.2."""
    told = (naming(DAY_OF_DELETION, NOON - 10 * DAY),)
    assert dunning.next_act(debtor(told=told).standing, at("2026-04-30 23:59"), TERMS) is Act.NOTHING


def test_after_a_long_outage_notice_is_given_and_a_day_passes() -> None:
    """9.3: the day that is named then is the day on which it happens."""
    ann = debtor().live("2026-02-01", "2026-03-01").live("2026-07-10", "2026-07-12")
    assert ann.told[-1] == ("07-10", ["day_before", "regular"], "2026-07-11")
    assert ann.deleted_on == date(2026, 7, 11)


def test_reap_alone_gives_notice_and_waits() -> None:
    """9.3: sent by `reap` at 9:30:05, it is a day old at the run after next."""
    ann = debtor().live("2026-05-10", "2026-05-13", jobs=("reap",))
    assert ann.told == [("05-10", ["day_before", "regular"], "2026-05-11")]
    assert ann.deleted_on == date(2026, 5, 12)


def test_an_administrator_is_asked_where_nothing_can_be_delivered() -> None:
    """9.3, C12; whoever can be reached again is told, and then no one has to be asked."""
    ann = debtor()
    ann.delivery = REFUSED
    ann.live("2026-02-01", "2026-05-12")
    assert ann.asked
    assert ann.deleted_on is None
    ann.delivery = SENT
    ann.live("2026-05-13", "2026-05-20")
    assert ann.told[-1] == ("05-17", ["regular"], "2026-05-18")
    assert ann.deleted_on == date(2026, 5, 18)


def test_time_that_an_administrator_gave_puts_the_day_off() -> None:
    """9.3: and it is announced as any other."""
    ann = debtor()
    ann.delivery = REFUSED
    ann.live("2026-02-01", "2026-05-01")
    ann.standing = replace(ann.standing, spared_until=date(2026, 5, 31))
    ann.delivery = SENT
    ann.live("2026-05-02", "2026-05-30")
    assert ann.deleted_on is None
    assert ("05-24", ["regular", "week_before"], "2026-05-31") in ann.told
    assert ann.live("2026-05-31", "2026-05-31").deleted_on == date(2026, 5, 31)


def test_an_unknown_payment_stops_all_until_it_is_known() -> None:
    """9.5."""
    ann = debtor(unknown=True).live("2026-02-01", "2026-06-01")
    assert (ann.told, ann.deleted_on) == ([], None)
    ann.standing = replace(ann.standing, unknown=False)
    ann.live("2026-06-02", "2026-06-03")
    assert ann.deleted_on == date(2026, 6, 3)


def test_paid_in_full_ends_all_of_it() -> None:
    """9.5."""
    paid = Standing(1, (), active=True, told=(naming(DAY_OF_DELETION, NOON - 2 * DAY),))
    assert dunning.next_reminder(paid, NOON, TERMS) is None
    assert dunning.next_act(paid, NOON, TERMS) is Act.NOTHING
    assert not dunning.is_suspended(paid, NOON, Terms(Currency.of("usd"), suspend_days=7))


def test_machines_are_off_some_days_before_where_that_is_wished() -> None:
    """C17: by default they are not."""
    ann, week = debtor().standing, Terms(Currency.of("usd"), suspend_days=7)
    assert not dunning.is_suspended(ann, at("2026-04-30"), TERMS)
    assert not dunning.is_suspended(ann, at("2026-04-23 23:59"), week)
    assert dunning.is_suspended(ann, at("2026-04-24"), week)
    assert dunning.is_suspended(ann, at("2026-05-09"), week)


@given(
    since=st.datetimes(datetime(2025, 1, 1), datetime(2027, 1, 1)),  # noqa: DTZ001 made aware below
    hours=st.lists(st.integers(1, 24 * 45), min_size=1, max_size=40),
    outcomes=st.lists(st.sampled_from([SENT, REFUSED, WAITING]), min_size=40, max_size=40),
)
def test_whenever_jobs_run_a_deletion_was_announced_a_day_before(
    since: datetime, hours: list[int], outcomes: list[NoticeStatus]
) -> None:
    """9.3 and 9.6: any times, any luck with delivery; at most one message a run, and none deletes unannounced."""
    ann = debtor(replace(FEBRUARY, since=at(since.isoformat(sep=" ", timespec="seconds"))))
    now = ann.standing.since
    for step, outcome in zip(hours, outcomes, strict=False):
        now += timedelta(hours=step)
        if dunning.next_act(ann.standing, now, TERMS) is Act.DELETE:
            assert now.date() >= dunning.deletion_day(ann.standing, TERMS)
            assert any(
                told.status is SENT
                and told.names is not None
                and told.names <= now.date()
                and told.ended_at is not None
                and now - 30 * DAY <= told.ended_at <= now - DAY
                for told in ann.standing.told
            )
            return
        ann.delivery = outcome
        before = len(ann.told)
        ann.remind(now)
        ann.remind(now)
        assert len(ann.told) - before <= 1

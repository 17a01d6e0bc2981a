"""Instants and months (rules.md 1.2, 1.3)."""

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.clock import Month, SystemClock, add_months

MONTHS = st.builds(Month, st.integers(1990, 2100), st.integers(1, 12))


def test_a_month_is_half_open() -> None:
    february = Month(2028, 2)
    assert february.start == datetime(2028, 2, 1, tzinfo=UTC)
    assert february.end == datetime(2028, 3, 1, tzinfo=UTC)
    assert Month.of(february.end) == Month(2028, 3)
    assert Month.of(february.end - timedelta(seconds=1)) == february


def test_a_month_is_found_in_utc() -> None:
    assert Month.of(datetime(2026, 2, 1, 1, tzinfo=timezone(timedelta(hours=2)))) == Month(2026, 1)


@given(MONTHS)
def test_next_previous_number_and_text_are_inverse(month: Month) -> None:
    assert month.next().previous() == month
    assert month.next().start == month.end
    assert Month.from_number(month.number) == month
    assert Month.parse(str(month)) == month
    assert month < month.next()


@pytest.mark.parametrize("text", ["2026", "2026-13", "2026-00", "26-01x", "", "2026/01"])
def test_what_is_no_month_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"time data|unconverted"):
        Month.parse(text)


@pytest.mark.parametrize(
    ("start", "months", "end"),
    [
        ((2026, 1, 15), 3, (2026, 4, 15)),
        ((2026, 11, 30), 3, (2027, 2, 28)),
        ((2027, 11, 30), 3, (2028, 2, 29)),
        ((2026, 12, 1), 1, (2027, 1, 1)),
        ((2026, 1, 31), 1, (2026, 2, 28)),
    ],
)
def test_months_later_is_the_same_day_or_the_last(
    start: tuple[int, int, int], months: int, end: tuple[int, int, int]
) -> None:
    assert add_months(datetime(*start, 7, tzinfo=UTC), months) == datetime(*end, 7, tzinfo=UTC)


def test_the_clock_is_in_whole_seconds_and_moved_by_its_file(tmp_path: Path) -> None:
    lever = tmp_path / "offset"
    clock = SystemClock(lever)
    before = clock.now()
    lever.write_text("86400")
    moved = clock.now()
    assert before.microsecond == 0
    assert before.tzinfo is UTC
    assert timedelta(days=1) <= moved - before <= timedelta(days=1, seconds=5)

"""Time: one injected clock, instants in UTC of whole seconds, and calendar months (rules.md 1.2, 1.3).

Whole seconds never bill more than the exact time would: when a run of at most n hours is cut to whole seconds
at both ends, it still spans at most n hours.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


class Clock(Protocol):
    """The one source of "now", asked once at each edge."""

    def now(self) -> datetime:
        """Return the present instant, aware, UTC, whole seconds."""
        ...


class SystemClock:
    """The machine's clock, moved by the seconds that stand in a file where one is given (the demo's lever)."""

    def __init__(self, offset_file: Path | None = None) -> None:
        """Take the file that holds an integer number of seconds; a missing file means none."""
        self._offset_file = offset_file

    def now(self) -> datetime:
        """Return the present instant."""
        return datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=self._offset())

    def _offset(self) -> int:
        if self._offset_file is None:
            return 0
        try:
            return int(self._offset_file.read_text())
        except FileNotFoundError:
            return 0


class ManualClock:
    """A clock that stands still until it is moved; for tests."""

    def __init__(self, now: datetime) -> None:
        """Start at an aware instant."""
        self._now = now

    def now(self) -> datetime:
        """Return the instant it was set to."""
        return self._now

    def move(self, by: timedelta) -> None:
        """Move forward, or back."""
        self._now += by

    def set(self, now: datetime) -> None:
        """Move to an instant."""
        self._now = now


@dataclass(frozen=True, slots=True, order=True)
class Month:
    """A calendar month in UTC: the billing period `[start, end)`."""

    year: int
    month: int

    @classmethod
    def of(cls, instant: datetime) -> "Month":
        """Return the month that holds an aware instant."""
        instant = instant.astimezone(UTC)
        return cls(instant.year, instant.month)

    @classmethod
    def parse(cls, text: str) -> "Month":
        """Return the month of `2026-01`.

        Raises:
            ValueError: the text has another form, or no such month exists.
        """
        return cls.of(datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC))

    @classmethod
    def from_number(cls, number: int) -> "Month":
        """Return the month of its number, 202601."""
        return cls(*divmod(number, 100))

    @property
    def number(self) -> int:
        """The month as a sortable integer, 202601."""
        return self.year * 100 + self.month

    @property
    def start(self) -> datetime:
        """The first instant of the month."""
        return datetime(self.year, self.month, 1, tzinfo=UTC)

    @property
    def end(self) -> datetime:
        """The first instant after the month."""
        return self.next().start

    def next(self) -> "Month":
        """Return the month after this one."""
        return Month(self.year + self.month // 12, self.month % 12 + 1)

    def previous(self) -> "Month":
        """Return the month before this one."""
        return Month.of(self.start - DAY)

    def __str__(self) -> str:
        """Return `2026-01`."""
        return f"{self.year:04d}-{self.month:02d}"


def add_months(instant: datetime, months: int) -> datetime:
    """Return the same day and time some months later, the last day of a shorter month where there is none."""
    whole = instant.year * 12 + instant.month - 1 + months
    target = Month(whole // 12, whole % 12 + 1)
    last_day = (target.end - DAY).day
    return instant.replace(year=target.year, month=target.month, day=min(instant.day, last_day))

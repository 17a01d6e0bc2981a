"""The demo's lever on time: moves the offset file that the product's clock reads (`CLOCK_FILE`)."""

import tempfile
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path

from billing.clock import DAY, HOUR, SystemClock, add_months


class Move(StrEnum):
    """How far one tap moves the clock."""

    HOUR = "hour"
    DAY = "day"
    MONTH = "month"

    def after(self, instant: datetime) -> datetime:
        """The instant that is so much later; a month keeps day and time where the next month has them."""
        match self:
            case Move.HOUR:
                return instant + HOUR
            case Move.DAY:
                return instant + DAY
            case Move.MONTH:
                return add_months(instant, 1)


class MovableClock(SystemClock):
    """The product's clock from the side that moves it; only forward, since nothing issued can be undone."""

    def __init__(self, offset_file: Path) -> None:
        """Take the file; it is made at the first move and found again by a second start."""
        super().__init__(offset_file)
        self._file = offset_file

    def move(self, by: timedelta) -> datetime:
        """Move on by whole seconds; the new now.

        Raises:
            ValueError: `by` is negative.
        """
        if by < timedelta():
            raise ValueError("The clock only moves forward")
        self._write(self._offset() + int(by.total_seconds()))
        return self.now()

    def move_to(self, instant: datetime) -> datetime:
        """Move on to an instant; the new now, which may be a second later.

        Raises:
            ValueError: it is past.
        """
        return self.move(instant - self.now())

    def _write(self, seconds: int) -> None:
        """In one step, so that a reader never finds half a number."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=self._file.parent, prefix=".clock-", delete=False) as new:
            new.write(f"{seconds}\n")
        # Readable by the product under another user as well.
        Path(new.name).chmod(0o644)
        Path(new.name).replace(self._file)

"""The demo's clock, seen by the product's."""

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from billing.clock import SystemClock
from bot.demo.clock import MovableClock, Move
from bot.demo.steps import jobs_are_done


def test_the_product_sees_every_move(tmp_path: Path) -> None:
    file = tmp_path / "new" / "clock"
    clock, product = MovableClock(file), SystemClock(file)
    before = product.now()
    clock.move(timedelta(hours=2))
    assert timedelta(hours=2) <= product.now() - before <= timedelta(hours=2, seconds=5)
    clock.move_to(before + timedelta(days=3))
    assert timedelta(days=3) <= product.now() - before <= timedelta(days=3, seconds=5)


def test_a_second_start_goes_on_from_there(tmp_path: Path) -> None:
    MovableClock(tmp_path / "clock").move(timedelta(days=40))
    assert MovableClock(tmp_path / "clock").now() - datetime.now(UTC) > timedelta(days=39, hours=23)


def test_it_never_goes_back(tmp_path: Path) -> None:
    clock = MovableClock(tmp_path / "clock")
    with pytest.raises(ValueError, match="forward"):
        clock.move(timedelta(seconds=-1))
    with pytest.raises(ValueError, match="forward"):
        clock.move_to(clock.now() - timedelta(hours=1))
    assert not (tmp_path / "clock").exists()


def test_a_reader_never_finds_half_a_number(tmp_path: Path) -> None:
    clock, product = MovableClock(tmp_path / "clock"), SystemClock(tmp_path / "clock")
    seen: list[datetime] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.append(product.now())

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(200):
        clock.move(timedelta(days=1))
    done.set()
    reader.join()
    assert len(seen) > 10
    assert seen == sorted(seen)
    assert [path.name for path in tmp_path.iterdir()] == ["clock"]


@pytest.mark.parametrize(
    ("move", "start", "end"),
    [
        (Move.HOUR, datetime(2026, 12, 31, 23, 30, tzinfo=UTC), datetime(2027, 1, 1, 0, 30, tzinfo=UTC)),
        (Move.DAY, datetime(2028, 2, 28, 5, tzinfo=UTC), datetime(2028, 2, 29, 5, tzinfo=UTC)),
        (Move.MONTH, datetime(2026, 1, 31, 5, tzinfo=UTC), datetime(2026, 2, 28, 5, tzinfo=UTC)),
        (Move.MONTH, datetime(2026, 12, 1, 5, tzinfo=UTC), datetime(2027, 1, 1, 5, tzinfo=UTC)),
    ],
)
def test_moves(move: Move, start: datetime, end: datetime) -> None:
    assert move.after(start) == end


@pytest.mark.parametrize(
    ("tick", "running", "done"),
    [
        (datetime(2026, 12, 8, 9, 29, 59, tzinfo=UTC), 0, False),
        (datetime(2026, 12, 8, 9, 30, tzinfo=UTC), 1, False),
        (datetime(2026, 12, 8, 9, 30, tzinfo=UTC), 0, True),
        (datetime(2026, 12, 8, 9, 30, 1, tzinfo=UTC), 0, True),
    ],
)
def test_a_job_that_ran_since_the_halt_is_done(tick: datetime, running: int, *, done: bool) -> None:
    """On a slow machine a second passes before the job begins: nobody may wait for it in vain."""
    figures = {("bot_job_last_tick_timestamp_seconds", "reap"): tick.timestamp(), ("bot_job_running", "reap"): running}
    assert jobs_are_done(figures, datetime(2026, 12, 8, 9, 30, tzinfo=UTC)) is done

"""The business as a whole, over simulated time, with everything going wrong that can (issue 3, "How it is proven")."""

import os
import shutil
import sys
import time
from datetime import datetime
from pathlib import Path

import pytest

from billing.clock import Month
from billing.db import Database
from tests.money.acts import Run
from tests.money.inline import without_threads
from tests.money.oracle import cost
from tests.money.simulation import Plot, Story, simulate

SHORT = Plot(seed=1, lively=15, quiet=490, days=125)
"""Long enough for a deletion: the grace is three months."""
YEARS = float(os.environ.get("SOAK_YEARS", "0.5"))
SEEDS = tuple(int(seed) for seed in os.environ.get("SOAK_SEEDS", "2").split())


async def tell(url: str, plot: Plot) -> Story:
    """One story on a database of its own."""
    with without_threads():
        database = Database(url)
        try:
            return await simulate(database, plot)
        finally:
            await database.close()


async def test_a_business_lives_and_the_books_are_right_on_every_evening(sqlite_url: str) -> None:
    """A short story with every kind of act in it; `make soak` tells long ones of other seeds."""
    story = await tell(sqlite_url, SHORT)
    assert story.customer_months > 2000
    for act in ("dispute", "refund", "vanished", "redeem redeemed", "top-up on a page", "deploy", "card page left"):
        assert story.acts.get(act, 0) > 0, act
    assert len(story.faults) >= 8
    assert story.reminded > 0
    assert story.deletions > 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
async def test_years_of_a_business(sqlite_url: str, seed: int) -> None:
    """`make soak YEARS=10 SEEDS="1 2 3"`; what happened is printed."""
    began = time.process_time()
    story = await tell(sqlite_url, Plot(seed=seed, lively=12, quiet=30, days=round(YEARS * 365)))
    sys.stdout.write(
        f"\nseed {seed}: {YEARS:g} years, {story.customer_months} customer-months, {story.invoices} invoices, "
        f"{len(story.ledger)} transfers, {story.reminded} reminders, {story.deletions} deletions "
        f"in {time.process_time() - began:.0f} s of processor time\nacts: {story.acts}\nfaults: {story.faults}\n"
    )
    assert story.invoices > 0


async def test_the_same_seed_tells_the_same_story(tmp_path: Path, sqlite_template: Path) -> None:
    """A failing seed reproduces exactly: every transfer, every act, every fault."""
    stories = []
    for number in range(2):
        path = shutil.copyfile(sqlite_template, tmp_path / f"{number}.sqlite3")
        stories.append(await tell(f"sqlite+aiosqlite:///{path}", Plot(seed=7, lively=6, quiet=2, days=40)))
    assert stories[0] == stories[1]
    assert stories[0].ledger


@pytest.mark.parametrize(
    ("start", "end", "month", "expected"),
    [
        ("2026-01-01 00:00", "2026-01-01 01:00", (2026, 1), 1),
        ("2026-01-01 00:00", "2026-01-01 01:01", (2026, 1), 2),
        ("2026-01-31 23:30", "2026-02-01 00:30", (2026, 1), 1),
        ("2026-01-31 23:30", "2026-02-01 00:30", (2026, 2), 0),
        ("2026-01-31 23:30", "2026-02-01 00:31", (2026, 2), 1),
        ("2026-01-01 00:00", None, (2026, 1), 672),
    ],
)
def test_the_oracle_counts_hours_as_rule_4_says(
    start: str, end: str | None, month: tuple[int, int], expected: int
) -> None:
    """672 cents a month are a cent an hour; an hour counts in the month in which it starts."""
    ended_at = datetime.fromisoformat(f"{end}+00:00") if end else None
    run = Run(1, 1, 1, 672, datetime.fromisoformat(f"{start}+00:00"), ended_at)
    assert cost(run, Month(*month)) == expected

"""Years of a business in a minute: people act, jobs run, the wire fails, and every evening all must be right."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from unittest.mock import patch

from sqlalchemy import func, select

from billing.clock import DAY, HOUR, Month
from billing.db import Database
from billing.gateway import GatewayError
from billing.models import Invoice, InvoiceKind, Transfer
from bot.demo.stripe import cards
from tests.money.oracle import Oracle
from tests.money.people import People
from tests.money.world import Broken, World, opened

START = datetime(2025, 12, 20, tzinfo=UTC)
_ROUNDS = ((9 * HOUR, "morning"), (21 * HOUR, "evening"))
"""When workers and jobs run. In the product they do all the time: here what one forgets has half a day to hurt."""


@dataclass(frozen=True, slots=True)
class Story:
    """What happened, to be compared with another run of the same seed.

    Attributes:
        ledger: every transfer, as far as chance that is not ours does not name it.
        acts, faults: how often what was done, and went wrong.
        customer_months: months in which a customer had something running, of all customers.
        invoices: how many were issued.
        reminded, deletions: how many there were.
    """

    ledger: tuple[tuple[object, ...], ...]
    acts: dict[str, int]
    faults: dict[str, int]
    customer_months: int
    invoices: int
    reminded: int
    deletions: int


@dataclass(frozen=True, slots=True)
class Plot:
    """What a story is told of; the same plot is the same story.

    Attributes:
        seed: where all chance comes from.
        lively: customers who do things every week; `quiet` ones come, deploy, and leave the rest to us.
        days: how long.
        chance: how likely a request to Stripe is to go wrong.
    """

    seed: int
    lively: int
    quiet: int
    days: int
    chance: float = 0.03


async def simulate(database: Database, plot: Plot) -> Story:
    """Let a business live, and return what happened.

    Raises:
        Broken: on some evening something was so that must never be; the same plot tells it again.
    """
    async with opened(database, START, plot.seed, chance=plot.chance) as world:
        people = People(world)
        oracle = Oracle(world, people)
        try:
            with _nothing_breaks(), patch.dict(cards._by_number):
                await _live(world, people, oracle, plot)
        except Exception as error:
            raise Broken(f"{plot}, at {world.now}: {error}") from error
        return await _story(world, people, oracle)


async def _live(world: World, people: People, oracle: Oracle, plot: Plot) -> None:
    for number in range(plot.lively + plot.quiet):
        await people.born(quiet=number >= plot.lively)
    outage = 0
    for number in range(plot.days):
        today = START + number * DAY
        if not outage and world.rng.random() < 0.01:
            outage = world.rng.randint(1, 3)  # nobody is here for some days
        outage = max(outage - 1, 0)
        world.wire.down = world.rng.random() < 0.01
        for hour, part in _ROUNDS:
            minutes = timedelta(minutes=world.rng.randrange(30))
            await world.move_to(today + hour + minutes)
            if not outage:
                await _work(world, part)
            if part == "morning":
                if not outage and today.day in (2, 16):
                    await oracle.month_end()
                await people.day()
        if not outage:
            await oracle.evening()
    await _calm_down(world, oracle)


async def _work(world: World, part: str) -> None:
    if part == "morning":
        await world.invoice()
        await world.settle()
        await world.remind()
        await world.reap()
    await world.work()


async def _calm_down(world: World, oracle: Oracle) -> None:
    """Nothing goes wrong any more and nobody does anything: within days all that was open has an end."""
    world.wire.chance, world.wire.down = 0.0, False
    for _ in range(4):
        for _ in range(3):
            await world.move_to(world.now + 8 * HOUR)
            await _work(world, "morning")
        await oracle.evening()
    await oracle.month_end()
    await oracle.quiet()


async def _story(world: World, people: People, oracle: Oracle) -> Story:
    async with world.database.read() as session:
        rows = await session.execute(
            select(Transfer.operation, Transfer.phase, Transfer.amount, Transfer.created_at).order_by(Transfer.id)
        )
        invoices = await session.scalar(
            select(func.count()).select_from(Invoice).where(Invoice.kind == InvoiceKind.INVOICE)
        )
        return Story(
            tuple(tuple(row) for row in rows),
            dict(sorted(people.count.items())),
            dict(sorted(world.wire.went_wrong.items())),
            _customer_months(people, world.now),
            int(invoices or 0),
            world.reminded,
            oracle.deletions,
        )


def _customer_months(people: People, now: datetime) -> int:
    seen: set[tuple[int, Month]] = set()
    for run in people.runs.values():
        month = Month.of(run.started_at)
        while month.start < (run.ended_at or now):
            seen.add((run.customer_id, month))
            month = month.next()
    return len(seen)


class _Listener(logging.Handler):
    """Keeps what workers swallow so that one customer's trouble is not the others'."""

    def __init__(self) -> None:
        """Hear errors only."""
        super().__init__(logging.ERROR)
        self.heard: list[BaseException] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep an exception; what the provider did not say is no mistake of ours."""
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and not isinstance(error, GatewayError):
            self.heard.append(error)
            raise error


@contextmanager
def _nothing_breaks() -> Iterator[None]:
    """Have an exception that a worker would only log end the simulation."""
    listener = _Listener()
    logger = logging.getLogger("billing")
    before = logger.level
    logger.addHandler(listener)
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.removeHandler(listener)
        logger.setLevel(before)

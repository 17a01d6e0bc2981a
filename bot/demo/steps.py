"""Moves the demo's clock so that every job which becomes due runs in its order, with all that follows from it."""

import asyncio
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

import httpx
from prometheus_client.parser import text_string_to_metric_families

from billing.clock import DAY
from bot.demo.clock import MovableClock, Move
from bot.jobs import CADENCE, due_at

_ORDERLY = ("invoice", "remind", "reap")
"""Jobs whose instants the clock halts at; the others only record or compare."""
_FINE = 2 * DAY
"""A longer move halts once a day, but for the first of a month; the clockwork keeps the order within a day."""
_LOOK_SECONDS = 0.05
_JOBS_SECONDS = 60.0
_QUEUE_SECONDS = 20.0
_LEAST_QUEUE_SECONDS = 0.5
_UNSETTLED = {"in_progress", "deleting"}

Figure = tuple[str, str]
"""A metric and the value of its last label, such as `("bot_job_running", "meter")`."""


def stops(start: datetime, end: datetime) -> list[datetime]:
    """The instants at which the clock halts on its way, in order; `end` is the last."""
    due = sorted({instant for job in _ORDERLY for instant in _between(job, start, end)})
    if end - start > _FINE:
        last_of_day = {instant.date(): instant for instant in due}
        due = [instant for instant in due if instant.day == 1 or instant == last_of_day[instant.date()]]
    return [*due, end]


def _between(job: str, start: datetime, end: datetime) -> Iterator[datetime]:
    instant = due_at(CADENCE[job], start, end)
    while instant is not None and instant < end:
        yield instant
        instant = due_at(CADENCE[job], instant, end)


def jobs_are_done(figures: dict[Figure, float], now: datetime) -> bool:
    """Whether every job that was due by `now` has run and none is at work."""
    ticks = {
        job: datetime.fromtimestamp(seconds, now.tzinfo)
        for (name, job), seconds in figures.items()
        if name == "bot_job_last_tick_timestamp_seconds"
    }
    # One that began after `now`, since the clock runs on while we look, has done what was due by then.
    return bool(ticks) and all(
        not figures.get(("bot_job_running", job), 0) and (tick >= now or due_at(CADENCE[job], tick, now) is None)
        for job, tick in ticks.items()
    )


def nothing_waits(figures: dict[Figure, float]) -> bool:
    """Whether no message waits to be sent, and no machine is being made or deleted."""
    machines = sum(
        count for (name, state), count in figures.items() if name == "bot_deployments" and state in _UNSETTLED
    )
    return not machines and not figures.get(("bot_notices", "waiting"), 0)


class Product:
    """What the running product tells of itself at `/metrics`."""

    def __init__(self, url: str) -> None:
        """Take its address."""
        self._client = httpx.AsyncClient(base_url=url, trust_env=False, verify=False)  # noqa: S501 - plain, loopback
        self._patience_s = _QUEUE_SECONDS

    async def answers(self) -> bool:
        """Whether it takes requests."""
        try:
            return (await self._client.get("/healthz")).is_success
        except httpx.HTTPError:
            return False

    async def settled(self, now: datetime) -> bool:
        """Wait until it has done what is due by `now` and what follows; whether it did before patience ended.

        What waits for long, such as a message that cannot be sent, is waited for less and less.
        """

        def all_done(figures: dict[Figure, float]) -> bool:
            return jobs_are_done(figures, now) and nothing_waits(figures)

        if await self._until(all_done, self._patience_s):
            self._patience_s = _QUEUE_SECONDS
            return True
        self._patience_s = max(self._patience_s / 2, _LEAST_QUEUE_SECONDS)
        await self._until(lambda figures: jobs_are_done(figures, now), _JOBS_SECONDS)
        return False

    async def _until(self, wanted: Callable[[dict[Figure, float]], bool], seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                while not wanted(await self._figures()):  # noqa: ASYNC110 - another process has no event for us
                    await asyncio.sleep(_LOOK_SECONDS)
        except TimeoutError:
            return False
        return True

    async def _figures(self) -> dict[Figure, float]:
        """Everything at `/metrics`; nothing while the product is away."""
        try:
            answer = await self._client.get("/metrics")
            answer.raise_for_status()
        except httpx.HTTPError:
            return {}
        figures: dict[Figure, float] = {}
        for family in text_string_to_metric_families(answer.text):
            for sample in family.samples:
                figure = (sample.name, next(reversed(sample.labels.values()), ""))
                figures[figure] = figures.get(figure, 0) + sample.value
        return figures

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()


class Mover:
    """Moves the clock, one move at a time."""

    def __init__(self, clock: MovableClock, product: Product, *, halted: Callable[[], None]) -> None:
        """Take the clock, the product that has to follow, and what else happens at each halt."""
        self._clock = clock
        self._product = product
        self._halted = halted
        self._task: asyncio.Task[None] | None = None

    @property
    def busy(self) -> bool:
        """Whether the clock is being moved."""
        return self._task is not None and not self._task.done()

    def start(self, by: Move) -> bool:
        """Begin a move; false, and nothing happens, while another one is under way."""
        if self.busy:
            return False
        self._task = asyncio.create_task(self._go(by), name="clock")
        return True

    async def stop(self) -> None:
        """Leave the clock where it is."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _go(self, by: Move) -> None:
        # A machine that is being made would otherwise have taken a month, which is too long.
        await self._product.settled(self._clock.now())
        start = self._clock.now()
        for instant in stops(start, by.after(start)):
            self._clock.move(max(instant - self._clock.now(), timedelta()))
            self._halted()
            await self._product.settled(self._clock.now())

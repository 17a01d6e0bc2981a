"""SIGKILL at any moment, as from outside: in the middle of a statement, of a request, of a start."""

import asyncio
import itertools
import os
import random
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bot.demo.telegram import Person
from tests.crash.flows import FLOWS, Flow, at_rest, hurry
from tests.crash.house import ROOT, Commands, House, open_house, say
from tests.crash.tally import TALLY

# A card can be only one person's: of those who use one there is one at a time.
_WITH_CARD = ("add card", "top up", "pay")
_WITHOUT = ("redeem", "deploy", "delete")
_MOST = 6
"""Kills while one thing is done; then it is left alone, so that a slow machine comes to an end as well."""
_UP_SECONDS = 1.2
"""A process lives no longer; often it is dead before it serves."""
_LOOK_SECONDS = 3.0
"""Slower than elsewhere: an offer is good for a quarter of an hour."""


@asynccontextmanager
async def random_kills(house: House, chance: random.Random) -> AsyncIterator[None]:
    """Kill, again and again, whatever it is doing."""

    async def keep_killing() -> None:
        for _ in range(_MOST):
            await asyncio.sleep(chance.uniform(0, _UP_SECONDS))
            await house.replicas[0].dies()

    killing = asyncio.create_task(keep_killing())
    hurrying = asyncio.create_task(hurry(house, _LOOK_SECONDS))
    try:
        yield
        await at_rest(house)
    finally:
        for task in (killing, hurrying):
            task.cancel()
        await asyncio.gather(killing, hurrying, return_exceptions=True)


async def die_at_random(house: House, names: list[str], *, kills: int, seed: int) -> None:
    """Go through flows, those with and without cards side by side, until it died so often."""
    chance = random.Random(seed)  # noqa: S311 chance for a test
    numbers = itertools.count(100)
    title = "at random: " + (names[0] if len(names) == 1 else "orders and cards")
    group: list[tuple[Flow, Person]] = []
    with TALLY.counting(house, title):
        began = house.kills
        while house.kills - began < kills:
            if not (group and group[0][0].again):
                group = [(FLOWS[name], house.person(next(numbers), name.title())) for name in _some(names, chance)]
                for flow, person in group:
                    await flow.prepare(house, person)
            await house.settled()
            async with random_kills(house, chance):
                await asyncio.gather(*(flow.act(house, person) for flow, person in group))
            for flow, person in group:
                await flow.check(house, person)
            await house.check()
    await job_check(house)


def _some(names: list[str], chance: random.Random) -> list[str]:
    if len(names) == 1:
        return names
    # Whoever uses a card moves in last: doing so takes it from those before.
    return [*chance.sample(_WITHOUT, 2), chance.choice(_WITH_CARD)]


async def job_check(house: House) -> None:
    """`python -m bot job check` finds nothing, as it would from outside."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bot", "job", "check"), cwd=ROOT, env=house.environment, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()


@pytest.mark.slow
async def test_a_command_that_is_killed_at_random_moments(tmp_path: Path, sqlite_url: str) -> None:
    """`python -m bot run` itself, from its first line on."""
    async with open_house(tmp_path, sqlite_url, starter=Commands(), PROVISION_MINUTES="600") as house:
        await house.add_replica()
        await die_at_random(house, ["deploy"], kills=12, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("names", "kills"),
    [([*_WITHOUT, *_WITH_CARD], 120), (["monthly run"], 40), (["remind"], 40)],
    ids=["orders and cards", "monthly run", "remind"],
)
async def test_killed_at_random_moments(tmp_path: Path, database_url: str, names: list[str], kills: int) -> None:
    seed = int(os.environ.get("CRASH_SEED", "1"))
    async with open_house(tmp_path, database_url, PROVISION_MINUTES="600") as house:
        await house.add_replica()
        await die_at_random(house, names, kills=kills, seed=seed)
        say(f"{house.kills} kills at random moments (seed {seed}), nothing lost, nothing twice")

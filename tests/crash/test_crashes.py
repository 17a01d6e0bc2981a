"""The product dies before and after every commit and every call to the outside; nothing is lost, nothing is twice.

Each flow is gone through again and again, each time by somebody new, and each time the product dies once: at the next
point where it has not died in this flow. It ends when there is none left.
"""

import asyncio
import itertools
import time
from pathlib import Path

import pytest

from tests.crash.flows import FLOWS, Flow, at_rest, dying, hurry
from tests.crash.house import House, open_house, say
from tests.crash.tally import TALLY

_people = itertools.count(100)


async def die_everywhere(house: House, name: str, flow: Flow, *, most: int) -> list[str]:
    """Go through a flow until there is no point left, or so many are done; return them."""
    done: list[str] = []
    turns = itertools.count()
    began = time.monotonic()
    while len(done) < most:
        if next(turns) % flow.again == 0:
            person = house.person(next(_people), name.title())
            await flow.prepare(house, person)
            await house.settled()
        before = len(done)
        async with dying(house, done):
            hurrying = asyncio.create_task(hurry(house)) if flow.hurry else None
            try:
                await flow.act(house, person)
                await at_rest(house)
            finally:
                if hurrying:
                    hurrying.cancel()
        try:
            await flow.check(house, person)
            await house.check()
        except AssertionError as wrong:
            raise AssertionError(f"{name}: it died {done[-1]}") from wrong
        if len(done) == before:
            break
    say(f"{name}: {len(done)} kills in {time.monotonic() - began:.0f} s, nothing lost, nothing twice")
    return done


async def test_die_at_some_points_of_an_order(tmp_path: Path, sqlite_url: str) -> None:
    async with open_house(tmp_path, sqlite_url, PROVISION_MINUTES="600") as house:
        await house.add_replica()
        assert len(await die_everywhere(house, "deploy", FLOWS["deploy"], most=4)) == 4


@pytest.mark.slow
@pytest.mark.parametrize("name", FLOWS)
async def test_die_at_every_point(tmp_path: Path, database_url: str, name: str) -> None:
    async with open_house(tmp_path, database_url, PROVISION_MINUTES="600") as house:
        await house.add_replica()
        with TALLY.counting(house, name):
            done = await die_everywhere(house, name, FLOWS[name], most=1000)
        assert len(done) > 10
        assert house.kills == len(done)
        wanted = {f"{when} {call}" for call in FLOWS[name].outside for when in ("before", "after")}
        assert wanted <= {point.partition(",")[0] for point in done}, done

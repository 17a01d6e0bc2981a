"""How much of a large piece of work one transaction takes: as much as keeps nobody waiting for long."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from sqlalchemy import Executable
from sqlalchemy.ext.asyncio import AsyncSession

from billing.db import Database

_SECONDS_ALONE = 0.08
"""SQLite has one writer at a time: so long a chat waits for us."""
_SECONDS = 0.5
"""Elsewhere only the customers of a chunk wait."""
_FASTER = 2.0


class Script(AsyncSession):
    """A session that writes statements down, to be run for chunk after chunk.

    Making a large statement, and finding it again among those that were compiled, takes longer than a small chunk's
    rows. What differs from chunk to chunk is a parameter.
    """

    def __init__(self, database: Database) -> None:
        """Start with nothing, for the kind of database that it is."""
        super().__init__(database.engine)
        self._statements: list[Executable] = []

    async def execute(self, statement: Executable, *_: object, **__: object) -> Any:  # noqa: ANN401 it has no result
        """Write a statement down."""
        self._statements.append(statement)

    async def run(self, session: AsyncSession, **values: int) -> None:
        """Run what was written, with the values of a chunk."""
        for statement in self._statements:
            await session.execute(statement, values)


class Bounds(NamedTuple):
    """How much is taken at first, and how little and how much ever."""

    first: int
    least: int
    most: int


class Chunk:
    """A size that follows how long the transactions before took.

    Attributes:
        size: how much the next transaction shall take.
    """

    def __init__(self, database: Database, bounds: Bounds) -> None:
        """Take where to work, and how much."""
        self.size = bounds.first
        self._database = database
        self._seconds = _SECONDS_ALONE if database.is_sqlite else _SECONDS
        self._bounds = bounds

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """Open a transaction for the next chunk; how long it takes says how large the one after it will be."""
        clock = asyncio.get_running_loop().time
        async with self._database.transaction() as session:
            began = clock()
            yield session
        took = max(clock() - began, self._seconds / _FASTER)
        self.size = max(self._bounds.least, min(self._bounds.most, int(self.size * self._seconds / took)))

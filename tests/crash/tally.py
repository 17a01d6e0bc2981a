"""How often the product died, in what and on which database, and how often something was lost or twice."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.crash.house import House


@dataclass(frozen=True, slots=True)
class Tally:
    """Kills and losses by flow and database."""

    kills: Counter[tuple[str, str]] = field(default_factory=Counter)
    losses: Counter[tuple[str, str]] = field(default_factory=Counter)

    def __len__(self) -> int:
        """How many flows were gone through."""
        return len(self.kills)

    @contextmanager
    def counting(self, house: House, flow: str) -> Iterator[None]:
        """Count the kills of a house meanwhile; an assertion that does not hold is a loss."""
        row = flow, "SQLite" if house.database.is_sqlite else "PostgreSQL"
        before = house.kills
        try:
            yield
        except BaseException:
            self.losses[row] += 1
            raise
        finally:
            self.kills[row] += house.kills - before

    def on(self, database: str) -> int:
        """How often it died on a database."""
        return sum(kills for (_, on), kills in self.kills.items() if on == database)

    def table(self) -> list[str]:
        """Lines of text."""
        rows = [(flow, on, str(kills), str(self.losses[flow, on])) for (flow, on), kills in self.kills.items()]
        rows += [
            ("all", on, str(self.on(on)), str(sum(n for (_, where), n in self.losses.items() if where == on)))
            for on in sorted({on for _, on in self.kills})
        ]
        return [f"{flow:<32}{on:<12}{kills:>6}{lost:>8}" for flow, on, kills, lost in [_HEAD, *rows]]


_HEAD = ("flow", "database", "kills", "losses")
TALLY = Tally()
"""Of this run of the tests."""

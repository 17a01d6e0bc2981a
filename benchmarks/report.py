"""What was measured, as one table: printed while it grows, kept in results.md with the machine it was measured on."""

import math
import os
import platform
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

RESULTS = Path(__file__).with_name("results.md")
_HEAD = ("work", "data", "reached", "beside", "ratio", "must", "met")


@dataclass(frozen=True, slots=True)
class Cost:
    """What a piece of work took, in seconds: by the clock on the wall, and of all processors that served it."""

    wall: float
    cpu: float

    def __truediv__(self, other: "Cost") -> "Cost":
        """Return how many times as much this is; processor time decides where others load the machine."""
        return Cost(self.wall / other.wall, self.cpu / other.cpu)

    def __str__(self) -> str:
        """Return `4.2 s (cpu 3.9)`."""
        return f"{self.wall:.3g} s (cpu {self.cpu:.3g})"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    Attributes:
        work: what was done, `data` on how much.
        reached: what the product took.
        beside: what its floor took in the same run.
        ratio: of the two.
        must: the target in words; `met` whether it is reached, `None` where there is none.
    """

    work: str
    data: str
    reached: str
    beside: str = "–"
    ratio: str = "–"
    must: str = "–"
    met: bool | None = None

    def cells(self) -> tuple[str, ...]:
        """Return the line's words."""
        met = "" if self.met is None else "yes" if self.met else "**no**"
        return self.work, self.data, self.reached, self.beside, self.ratio, self.must, met


class Report:
    """Rows as they come."""

    def __init__(self, scale: float) -> None:
        """Start an empty table of a run at a scale; 1 is the full size."""
        self._scale = scale
        self._rows: list[Row] = []
        self._began = time.monotonic()
        self._load = os.getloadavg()[0]

    def add(self, *rows: Row) -> None:
        """Take rows and show them."""
        for row in rows:
            self._rows.append(row)
            print(" | ".join(row.cells()), flush=True)

    @property
    def missed(self) -> int:
        """How many targets were not reached."""
        return sum(row.met is False for row in self._rows)

    def table(self) -> str:
        """Return all rows as a table."""
        lines = [_HEAD, *(row.cells() for row in self._rows)]
        widths = [max(len(line[place]) for line in lines) for place in range(len(_HEAD))]
        made = [
            "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"
            for line in lines
        ]
        made.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
        return "\n".join(made)

    def write(self) -> None:
        """Keep the table in results.md."""
        minutes = (time.monotonic() - self._began) / 60
        RESULTS.write_text(
            "# What `make bench` measured last\n\n"
            f"{_machine()}. Scale {self._scale:g}, {minutes:.0f} minutes; the load of others when it began was "
            f"{self._load:.1f} (0 on a quiet machine). Product and floor were measured in turn in the same run; a "
            "ratio is of wall time, and of processor time in brackets, which decides.\n\n"
            f"{self.table()}\n"
        )


def ratio(product: Cost, floor: Cost) -> str:
    """Return `1.6 (cpu 1.5)`."""
    of = product / floor
    return f"{of.wall:.2f} (cpu {of.cpu:.2f})"


def within(product: Cost, floor: Cost, times: float) -> bool:
    """Return whether a piece of work took at most so many times its floor, by processor time."""
    return (product / floor).cpu <= times


def exponent(sizes: Sequence[int], costs: Sequence[float]) -> float:
    """Return the power with which a cost grows: the slope of a line through the logarithms."""
    xs, ys = [math.log(size) for size in sizes], [math.log(cost) for cost in costs]
    middle_x, middle_y = sum(xs) / len(xs), sum(ys) / len(ys)
    return sum((x - middle_x) * (y - middle_y) for x, y in zip(xs, ys, strict=True)) / sum(
        (x - middle_x) ** 2 for x in xs
    )


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which a share of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def best(work: Callable[[], object], *, repeat: int, number: int) -> float:
    """Return the seconds of one call of a pure function, the best of several rounds."""
    rounds = []
    for _ in range(repeat):
        begun = time.process_time()
        for _ in range(number):
            work()
        rounds.append((time.process_time() - begun) / number)
    return min(rounds)


def _machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} cores of {_processor()}, {memory:.0f} GB, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()

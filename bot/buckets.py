"""Token buckets: how often somebody may do something, kept in memory."""

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

MOST = 10_000
"""So many are remembered; the one not seen for longest is forgotten for a new one."""

KeyT = TypeVar("KeyT", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Allowance:
    """So many at once, and then so many a second."""

    burst: float
    per_second: float


class Buckets(Generic[KeyT]):
    """One bucket for each of many, in this process: several processes allow that many times as much."""

    def __init__(self, allowance: Allowance, now: Callable[[], float] = time.monotonic) -> None:
        """Start with every bucket full; `now` is a clock that never goes back."""
        self.allowance = allowance
        self._now = now
        self._left: OrderedDict[KeyT, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        """Return how many are remembered."""
        return len(self._left)

    def wait(self, key: KeyT) -> float:
        """Return the seconds until there is a token; 0: there is one."""
        return max(0.0, (1 - self._filled(key)) / self.allowance.per_second)

    def spend(self, key: KeyT, tokens: int = 1) -> None:
        """Take tokens, at most what is there; a negative number gives them back."""
        self._left[key] = (max(0.0, self._filled(key) - tokens), self._now())
        self._left.move_to_end(key)
        if len(self._left) > MOST:
            self._left.popitem(last=False)

    def _filled(self, key: KeyT) -> float:
        left, at = self._left.get(key, (self.allowance.burst, self._now()))
        return min(self.allowance.burst, left + (self._now() - at) * self.allowance.per_second)

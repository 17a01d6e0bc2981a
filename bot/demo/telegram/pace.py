"""How fast a bot may send: Telegram's published limits, as settings."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from bot.demo.telegram.wire import too_many_requests


@dataclass
class _Bucket:
    tokens: float
    filled_at: float

    def wait_s(self, now: float, rate: float, size: float) -> float:
        """Seconds until a token is there, after filling up to now."""
        self.tokens = min(size, self.tokens + (now - self.filled_at) * rate)
        self.filled_at = now
        return 0.0 if self.tokens >= 1 else (1 - self.tokens) / rate


@dataclass
class Pace:
    """Limits on sending and editing; 429 with the seconds to wait beyond them.

    Args:
        overall_per_s: messages a second over all chats.
        chat_per_s: messages a second to one chat.
        chat_burst: how many may go to one chat at once after silence.
        least_retry_s: Telegram never says less than this.
        clock: seconds that only grow.
    """

    overall_per_s: float = 30.0
    chat_per_s: float = 1.0
    chat_burst: int = 5
    least_retry_s: int = 3
    clock: Callable[[], float] = time.monotonic
    _buckets: dict[int | str | None, _Bucket] = field(default_factory=dict)

    def take(self, chat: int | str) -> None:
        """Count one message to a chat; raises 429 when it is one too many."""
        now = self.clock()
        limits = (
            (None, self.overall_per_s, self.overall_per_s),
            (chat, self.chat_per_s, float(self.chat_burst)),
        )
        taken = []
        for key, rate, size in limits:
            bucket = self._buckets.setdefault(key, _Bucket(size, now))
            wait_s = bucket.wait_s(now, rate, size)
            if wait_s:
                raise too_many_requests(max(self.least_retry_s, math.ceil(wait_s)))
            taken.append(bucket)
        for bucket in taken:
            bucket.tokens -= 1

"""Things that go wrong on purpose: which request, and how."""

from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase

from bot.demo.stripe.errors import ApiError, broken, idempotency, too_many


class Fault(StrEnum):
    """What happens to a request. Before: nothing was done. After: it was done, and its answer is lost or spoilt."""

    HANG_BEFORE = "hang_before"
    HANG_AFTER = "hang_after"
    DROP_BEFORE = "drop_before"
    DROP_AFTER = "drop_after"
    ERROR_BEFORE = "error_before"
    """500, not kept for the idempotency key: a repeat goes through."""
    ERROR_INSTEAD = "error_instead"
    """500 and nothing done, but kept for the idempotency key."""
    ERROR_AFTER = "error_after"
    """Done, yet answered with a 500 that is kept for the idempotency key."""
    GARBAGE_BEFORE = "garbage_before"
    GARBAGE_AFTER = "garbage_after"
    RATE_LIMIT = "rate_limit"
    LOCK_TIMEOUT = "lock_timeout"
    CONFLICT = "conflict"
    SLOW = "slow"
    """Done after a while; the idempotency key counts as in use meanwhile."""


def refusal(fault: Fault) -> ApiError | None:
    """The answer of faults that are an answer of their own."""
    if fault is Fault.RATE_LIMIT:
        return too_many("rate_limit", "Request rate limit exceeded. Learn more about rate limits in our docs.")
    if fault is Fault.LOCK_TIMEOUT:
        return too_many(
            "lock_timeout",
            "This object cannot be accessed right now because another API request or Stripe process is currently "
            "accessing it. If you see this error intermittently, retry the request. If you see this error frequently "
            "and are making multiple concurrent requests to a single object, make your requests serially or at a "
            "lower rate.",
        )
    if fault is Fault.CONFLICT:
        return idempotency("The request conflicts with another request.", status=409)
    return broken(executed=False) if fault is Fault.ERROR_BEFORE else None


@dataclass
class Plan:
    """A fault for the `nth` matching request from now on, and `times - 1` more after it (None: all)."""

    fault: Fault
    method: str = "*"
    path: str = "*"
    nth: int = 1
    times: int | None = 1
    seconds: float = 120.0
    seen: int = 0

    def takes(self, method: str, path: str) -> bool:
        """Whether this request is meant; counts it if it matches."""
        if not (fnmatchcase(method, self.method) and fnmatchcase(path, self.path)):
            return False
        self.seen += 1
        return self.seen >= self.nth and (self.times is None or self.seen < self.nth + self.times)


@dataclass
class Faults:
    """All plans in force."""

    plans: list[Plan] = field(default_factory=list)

    def take(self, method: str, path: str) -> Plan | None:
        """The plan that this request meets, if any; every plan counts it."""
        return next((plan for plan in [plan for plan in self.plans if plan.takes(method, path)]), None)

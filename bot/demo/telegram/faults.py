"""Faults on order: the next, each or the nth call of a method goes wrong in a chosen way."""

from dataclasses import dataclass, field
from enum import StrEnum

from bot.demo.telegram.wire import ApiError, Json, too_many_requests


class Kind(StrEnum):
    """How a call goes wrong."""

    TOO_MANY = "too_many"
    """429 with `retry_after`; nothing is done."""
    ERROR = "error"
    """The given code and description; nothing is done."""
    CLOSE_BEFORE = "close_before"
    """The connection closes without an answer; nothing is done."""
    CLOSE_AFTER = "close_after"
    """The call is carried out, then the connection closes without an answer."""
    HANG = "hang"
    """Nothing is done and no answer comes for `seconds`, then the connection closes."""
    SLOW = "slow"
    """Carried out and answered after `seconds`."""


@dataclass
class Fault:
    """One order.

    Args:
        kind: how it goes wrong.
        method: for which method; empty for every one.
        nth: the first call it strikes, counted from now, the next being 1.
        times: how many calls it strikes; 0 for all from then on.
        retry_after: seconds, for `TOO_MANY`.
        code: HTTP status, for `ERROR`.
        description: words, for `ERROR`.
        seconds: for `HANG` and `SLOW`.
    """

    kind: Kind
    method: str = ""
    nth: int = 1
    times: int = 1
    retry_after: int = 3
    code: int = 502
    description: str = "Bad Gateway"
    seconds: float = 3600.0
    seen: int = field(default=0, init=False)

    def strikes(self) -> bool:
        """Count a call; whether this one goes wrong."""
        self.seen += 1
        return self.seen >= self.nth and not self.is_over(before=1)

    def is_over(self, *, before: int = 0) -> bool:
        """Whether no further call can be struck."""
        return bool(self.times) and self.seen - before >= self.nth + self.times - 1

    def error(self) -> ApiError | None:
        """The refusal it answers with, for the kinds that answer."""
        if self.kind is Kind.TOO_MANY:
            return too_many_requests(self.retry_after)
        return ApiError(self.code, self.description) if self.kind is Kind.ERROR else None


class Faults:
    """All orders not yet used up."""

    def __init__(self) -> None:
        self.orders: list[Fault] = []

    def add(self, kind: Kind | str, method: str = "", **fields: float | str) -> Fault:
        """Order a fault; the fields are those of `Fault`."""
        fault = Fault(Kind(kind), method.lower(), **fields)  # type: ignore[arg-type]
        self.orders.append(fault)
        return fault

    def strike(self, method: str) -> Fault | None:
        """The fault that this call meets, if any; the first ordered wins."""
        struck = None
        for order in list(self.orders):
            if order.method in {"", method.lower()} and order.strikes():
                struck = struck or order
            if order.is_over():
                self.orders.remove(order)
        return struck

    def clear(self) -> None:
        """Take back every order."""
        self.orders.clear()

    def listed(self) -> list[Json]:
        """The orders as JSON."""
        return [vars(order) | {"kind": order.kind.value} for order in self.orders]

"""How features say what they answer to, and which of their handlers an update goes to.

Nothing is open unless it says so: every route names its guard.
"""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from telegram import PreCheckoutQuery, RefundedPayment, SuccessfulPayment

from bot.callbacks import Press
from bot.context import Context
from bot.guards import Guard
from bot.view import View

Handler = Callable[[Context, Any], Awaitable[View | None]]
_PressType = TypeVar("_PressType", bound=Press)


@dataclass(frozen=True, slots=True)
class Route:
    """One thing that a feature answers to."""

    on: Literal["command", "press", "answer", "start", "before_payment", "payment", "refund"]
    key: str | type[Press]
    handler: Handler
    guard: Guard


def command(name: str, handler: Callable[[Context, str], Awaitable[View | None]], guard: Guard) -> Route:
    """Answer `/name`; the handler gets what was typed after it."""
    return Route("command", name, handler, guard)


def press(
    kind: type[_PressType], handler: Callable[[Context, _PressType], Awaitable[View | None]], guard: Guard
) -> Route:
    """Answer a button; the handler gets its data."""
    return Route("press", kind, handler, guard)


def answer(what: str, handler: Callable[[Context, "Answer"], Awaitable[View | None]], guard: Guard) -> Route:
    """Answer the free text that a person was asked for under this name."""
    return Route("answer", what, handler, guard)


def start(prefix: str, handler: Callable[[Context, str], Awaitable[View | None]], guard: Guard) -> Route:
    """Answer the deep link `/start PREFIX_rest`; the handler gets the rest."""
    return Route("start", prefix, handler, guard)


def before_payment(
    name: str, handler: Callable[[Context, PreCheckoutQuery], Awaitable[View | None]], guard: Guard
) -> Route:
    """Answer whether an invoice in the chat may be paid, by the name before the colon of its payload.

    `None` lets it through; the text of a view is the refusal, without markup.
    """
    return Route("before_payment", name, handler, guard)


def payment(name: str, handler: Callable[[Context, SuccessfulPayment], Awaitable[View | None]], guard: Guard) -> Route:
    """Answer that an invoice in the chat was paid; it may be told more than once."""
    return Route("payment", name, handler, guard)


def refund(name: str, handler: Callable[[Context, RefundedPayment], Awaitable[View | None]], guard: Guard) -> Route:
    """Answer that the chat gave a payment back, by us or not; it may be told more than once."""
    return Route("refund", name, handler, guard)


@dataclass(frozen=True, slots=True)
class Answer:
    """A text that a person typed because they were asked, with what was kept when they were asked."""

    text: str
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Routes:
    """All routes of the house, by what they answer to."""

    commands: dict[str, Route] = field(default_factory=dict)
    presses: dict[type[Press], Route] = field(default_factory=dict)
    answers: dict[str, Route] = field(default_factory=dict)
    starts: dict[str, Route] = field(default_factory=dict)
    before_payments: dict[str, Route] = field(default_factory=dict)
    payments: dict[str, Route] = field(default_factory=dict)
    refunds: dict[str, Route] = field(default_factory=dict)

    @classmethod
    def of(cls, routes: Iterable[Route]) -> "Routes":
        """Sort routes by what they answer to.

        Raises:
            ValueError: two routes answer to the same thing.
        """
        made = cls()
        tables: dict[str, dict[Any, Route]] = {
            "command": made.commands,
            "press": made.presses,
            "answer": made.answers,
            "start": made.starts,
            "before_payment": made.before_payments,
            "payment": made.payments,
            "refund": made.refunds,
        }
        for route in routes:
            table = tables[route.on]
            if route.key in table:
                raise ValueError(f"two handlers for {route.on} {route.key}")
            table[route.key] = route
        return made

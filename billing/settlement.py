"""The waterfall: which money pays which invoice, and when a declined card is tried again (rules.md 6.2 to 6.7).

Decides from facts alone; `dues`, `payments` and `cashier` carry it out.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from billing.errors import BelowMinimum
from billing.models import AccountKind


@dataclass(frozen=True, slots=True)
class Due:
    """What an invoice still needs, in minor units: disputed money and money in flight set aside.

    Attributes:
        invoice_id: which.
        amount: what is to be paid.
        issued_at: when it was issued; of equal dues the oldest goes first.
    """

    invoice_id: int
    amount: int
    issued_at: datetime


@dataclass(frozen=True, slots=True)
class FundPayment:
    """Voucher or balance money for one invoice."""

    invoice_id: int
    source: AccountKind
    amount: int


@dataclass(frozen=True, slots=True)
class Part:
    """What a card charge holds for one invoice."""

    invoice_id: int
    amount: int


@dataclass(frozen=True, slots=True)
class Plan:
    """Who pays what.

    Attributes:
        funds: payments from voucher and balance, in their order.
        charges: card charges, in their order; each is at least the minimum.
        left: what stays open because it is too little for a card.
    """

    funds: tuple[FundPayment, ...]
    charges: tuple[tuple[Part, ...], ...]
    left: tuple[Part, ...]

    @property
    def by_card(self) -> int:
        """What is charged in all."""
        return sum(part.amount for parts in self.charges for part in parts)

    @property
    def digest(self) -> str:
        """A short name of exactly this split, for a button to say which one was shown (C1)."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:12]


def in_order(dues: Iterable[Due]) -> list[Due]:
    """Return dues smallest first, of equal ones the oldest (rules.md 6.2)."""
    return sorted((due for due in dues if due.amount > 0), key=lambda due: (due.amount, due.issued_at, due.invoice_id))


def plan(dues: Iterable[Due], *, voucher: int, balance: int, minimum: int) -> Plan:
    """Return how dues are settled by themselves: funds first, the rest by card, one charge for each invoice.

    A rest below the minimum is joined with the next larger ones until the sum reaches it (rules.md 6.4).
    """
    ordered = in_order(dues)
    funds, paid = _from_funds(ordered, voucher, balance)
    charges, left = _joined(_rests(ordered, paid), minimum)
    return Plan(tuple(funds), tuple(charges), tuple(left))


def split(dues: Iterable[Due], *, voucher: int, balance: int, by_card: bool, minimum: int) -> Plan:
    """Return how dues are paid by hand, all at once: voucher, balance, and one charge for the rest (C1).

    Leave a source out by handing in 0. Where the rest is less than a card can be charged, balance, then voucher, pay
    so much less that it is just enough.

    Raises:
        BelowMinimum: all of it together is less than a card can be charged, and funds do not cover it.
    """
    ordered = in_order(dues)
    total = sum(due.amount for due in ordered)
    voucher = min(voucher, total)
    balance = min(balance, total - voucher)
    rest = total - voucher - balance
    if by_card and 0 < rest < minimum:
        if total < minimum:
            raise BelowMinimum(rest, minimum)
        from_balance = min(balance, minimum - rest)
        balance -= from_balance
        voucher -= minimum - rest - from_balance
    funds, paid = _from_funds(ordered, voucher, balance)
    rests = tuple(_rests(ordered, paid))
    return Plan(tuple(funds), (rests,), ()) if by_card and rests else Plan(tuple(funds), (), rests)


def _from_funds(ordered: Sequence[Due], voucher: int, balance: int) -> tuple[list[FundPayment], dict[int, int]]:
    """Return payments, voucher before balance for each due, and what each invoice gets."""
    left = {AccountKind.VOUCHER: voucher, AccountKind.BALANCE: balance}
    payments: list[FundPayment] = []
    paid = {due.invoice_id: 0 for due in ordered}
    for due in ordered:
        for source, have in left.items():
            amount = min(have, due.amount - paid[due.invoice_id])
            if amount > 0:
                payments.append(FundPayment(due.invoice_id, source, amount))
                left[source] = have - amount
                paid[due.invoice_id] += amount
    return payments, paid


def _joined(rests: Sequence[Part], minimum: int) -> tuple[list[tuple[Part, ...]], list[Part]]:
    """Return rests grouped into charges of at least the minimum, and those that all together do not reach it.

    When several small ones leave a smaller one over, it joins the last charge: the customer's total is enough for a
    card, so it counts as due (rules.md 6.4) and must not wait.
    """
    charges: list[tuple[Part, ...]] = []
    group: list[Part] = []
    for rest in rests:
        group.append(rest)
        if sum(part.amount for part in group) >= minimum:
            charges.append(tuple(group))
            group = []
    if group and charges:
        charges[-1] += tuple(group)
        group = []
    return charges, group


def _rests(ordered: Sequence[Due], paid: Mapping[int, int]) -> list[Part]:
    """Return what funds leave of each due, in the same order: only the last that funds reach is paid in part."""
    rests = (Part(due.invoice_id, due.amount - paid[due.invoice_id]) for due in ordered)
    return [rest for rest in rests if rest.amount > 0]


# --- the calendar (rules.md 6.6, 6.7)

_RETRY_DAYS = (1, 3, 5, 7)
_WEEK = 7
_ASK_AGAIN = (timedelta(minutes=1), timedelta(minutes=5), timedelta(hours=1))


def next_try(first_declined_at: datetime, now: datetime) -> datetime:
    """Return when soft-declined cards are tried again: days 1, 3, 5, 7 after the first decline, then weekly."""
    days = (now - first_declined_at).days
    for day in _RETRY_DAYS:
        if days < day:
            return first_declined_at + timedelta(days=day)
    return first_declined_at + timedelta(days=(days // _WEEK + 1) * _WEEK)


def ask_again_after(asked: int) -> timedelta:
    """Return how long to wait before an unknown result is asked for again, having asked so many times."""
    return _ASK_AGAIN[asked] if asked < len(_ASK_AGAIN) else timedelta(days=1)

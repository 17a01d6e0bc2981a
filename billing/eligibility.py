"""May a customer have one more deployment (rules.md 3.5 to 3.7)? Pure: facts in, verdict out."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from billing.terms import Terms

OVERDUE_AFTER = timedelta(days=30)
"""An invoice that is due for longer stops new deployments (rules.md 3.7)."""


class Reason(StrEnum):
    """Why an order cannot go through, in the order in which people should mend it."""

    MAINTENANCE = "maintenance"
    BLOCKED = "blocked"
    DISPUTE = "dispute"
    NO_SSH_KEY = "no_ssh_key"
    OVERDUE = "overdue"
    """An invoice is due for over 30 days: `amount` is what all such invoices come to, `since` the oldest's day."""
    FUNDS = "funds"
    """No valid card, and `amount` is missing from voucher and balance."""
    CREDIT_LIMIT = "credit_limit"
    """The order goes `amount` over the limit of `limit`."""
    BUDGET = "budget"
    """The order goes `amount` over the customer's own budget of `limit`."""


FOR_MONEY = frozenset({Reason.OVERDUE, Reason.FUNDS})
"""Reasons that go away when money or a card comes: the order is kept (rules.md 3.3)."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """One reason why not; amounts in minor units, with tax, where the reason has any."""

    reason: Reason
    amount: int = 0
    limit: int = 0
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether an order may go through, and every reason why not.

    Attributes:
        refusals: the most pressing first; none when it may.
        by_card: a valid card stands for it; otherwise voucher and balance do.
    """

    refusals: tuple[Refusal, ...]
    by_card: bool

    @property
    def allowed(self) -> bool:
        """Whether the order may go through."""
        return not self.refusals

    @property
    def for_money(self) -> bool:
        """Whether nothing but money or a card is wanting."""
        return bool(self.refusals) and all(refusal.reason in FOR_MONEY for refusal in self.refusals)

    @property
    def missing(self) -> int:
        """What must come into voucher or balance, 0 where money is not what is wanting."""
        return max((refusal.amount for refusal in self.refusals if refusal.reason is Reason.FUNDS), default=0)


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a customer when an order is looked at; minor units, without tax unless said.

    Attributes:
        valid_card: a verified, present, unexpired card whose last charge was not declined (rules.md 3.6).
        voucher: voucher money, `balance` charged money; with what is on its way to an open invoice.
        balance: see `voucher`.
        due: owed on open invoices, with tax.
        overdue: the part of `due` on invoices that are due for over 30 days, with tax.
        overdue_since: the day since which the oldest of these is due.
        unbilled_before: cost of earlier months that no invoice names yet.
        ended_this_month: this month's cost of subscriptions that are no longer active.
        active_this_month: this month's cost, until now, of the active ones.
        projected_this_month: this month's cost of all of them if the active ones run on to its end.
        active_monthly: monthly prices of the active ones.
        credit_limit: this customer's.
        budget: the customer's own monthly limit with tax, none where there is none.
        dispute: a dispute is open.
        blocked: an administrator stopped new deployments.
        maintenance: the house sells nothing now.
        has_ssh_key: somebody could log in.
    """

    valid_card: bool
    credit_limit: int
    voucher: int = 0
    balance: int = 0
    due: int = 0
    overdue: int = 0
    overdue_since: datetime | None = None
    unbilled_before: int = 0
    ended_this_month: int = 0
    active_this_month: int = 0
    projected_this_month: int = 0
    active_monthly: int = 0
    budget: int | None = None
    dispute: bool = False
    blocked: bool = False
    maintenance: bool = False
    has_ssh_key: bool = True


def may_deploy(facts: Facts, monthly: int, until_month_end: int, terms: Terms) -> Verdict:
    """Return whether one more deployment may be made (rules.md 3.5, 3.7).

    Args:
        facts: of the customer, read under their lock when the deployment is about to be made.
        monthly: its monthly price without tax, all nodes together.
        until_month_end: what it will cost until the month ends, without tax.
        terms: the tax.
    """
    found = (
        Refusal(Reason.MAINTENANCE) if facts.maintenance else None,
        Refusal(Reason.BLOCKED) if facts.blocked else None,
        Refusal(Reason.DISPUTE) if facts.dispute else None,
        None if facts.has_ssh_key else Refusal(Reason.NO_SSH_KEY),
        Refusal(Reason.OVERDUE, facts.overdue, since=facts.overdue_since) if facts.overdue else None,
        _funds(facts, monthly, terms),
        _credit(facts, monthly, terms),
        _budget(facts, monthly, until_month_end, terms),
    )
    return Verdict(tuple(refusal for refusal in found if refusal), facts.valid_card)


def _funds(facts: Facts, monthly: int, terms: Terms) -> Refusal | None:
    """A valid card, or funds that suffice with all else set aside (A18)."""
    if facts.valid_card:
        return None
    net = facts.unbilled_before + facts.ended_this_month + facts.active_monthly + monthly
    missing = facts.due + terms.with_tax(net) - facts.voucher - facts.balance
    return Refusal(Reason.FUNDS, missing) if missing > 0 else None


def _credit(facts: Facts, monthly: int, terms: Terms) -> Refusal | None:
    """What is owed, used and not invoiced, and the monthly prices of all that is active (C18)."""
    used = facts.unbilled_before + facts.ended_this_month + facts.active_this_month
    exposed = facts.due + terms.with_tax(used + facts.active_monthly + monthly)
    over = exposed - facts.credit_limit
    return Refusal(Reason.CREDIT_LIMIT, over, facts.credit_limit) if over > 0 else None


def _budget(facts: Facts, monthly: int, until_month_end: int, terms: Terms) -> Refusal | None:
    """Neither this month as it will end nor a whole month of all that is active may break it (C5)."""
    if facts.budget is None:
        return None
    month = max(facts.projected_this_month + until_month_end, facts.active_monthly + monthly)
    over = terms.with_tax(month) - facts.budget
    return Refusal(Reason.BUDGET, over, facts.budget) if over > 0 else None

"""What people are told of their own settings: a budget that is used up, an address that is missing."""

from collections.abc import Callable, Mapping
from typing import Any

from billing.clock import Month
from billing.terms import Terms
from bot.format import bold, money, month
from bot.i18n import _
from bot.links import AskEmail, Machines, Usage
from bot.view import Button, View
from bot.views import problems
from bot.views.email import SkipEmail
from bot.views.settings import Budget

Facts = Mapping[str, Any]
_ALL = 100
"""Percent."""


def budget_reached(facts: Facts, terms: Terms) -> View:
    """A month has cost 80 % or all of the customer's own budget (C5)."""
    values = {
        "spent": bold(money(facts["spent"], terms.currency)),
        "budget": bold(money(facts["budget"], terms.currency)),
        "month": month(Month.parse(facts["month"])),
    }
    if facts["percent"] >= _ALL:
        lines = [_("🎯 Your budget for {month} is used up: {spent} of {budget}.").format(**values)]
    else:
        lines = [_("🎯 {month} has used {spent} of your budget of {budget}.").format(**values)]
    lines.append(_("What runs keeps running and costs on. Delete what you do not need, or change the budget."))
    return View(
        "\n".join(lines),
        (
            (Button(_("📊 Usage"), Usage()), Button(_("🖥 Machines"), Machines())),
            (Button(_("🎯 Budget"), Budget()), problems.home()),
        ),
    )


def email_wanted(_facts: Facts, _terms: Terms) -> View:
    """The first order was made and no address is known."""
    return View(
        _("✉️ Shall invoices and warnings come by mail, too? An address also helps when this chat is closed to me."),
        ((Button(_("✉️ Give an address"), AskEmail()), Button(_("Skip"), SkipEmail())),),
    )


WORDS: Mapping[str, Callable[[Facts, Terms], View]] = {
    function.__name__: function for function in (budget_reached, email_wanted)
}

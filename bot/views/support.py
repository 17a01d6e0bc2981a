"""Support: asking, what staff read, and the answer (A28)."""

from billing.models import Customer
from bot.format import bold, code, escape
from bot.i18n import _
from bot.links import Cancel, Support
from bot.view import Button, View
from bot.views import problems

LONGEST = 3500
"""Characters of a text that stands in one message with the words around it; a longer one is copied as it is."""


def ask() -> View:
    """Return the question for a question."""
    return View(
        _("💬 What can we help with? Write it here; a picture or a file will do, too."),
        ((Button(_("✖️ Cancel"), Cancel()),),),
    )


def passed_on() -> View:
    """Return that a question has reached somebody."""
    return View(
        _("✅ Passed on. The answer comes here, in this chat."),
        ((Button(_("💬 Write more"), Support()), problems.home()),),
    )


def not_passed_on() -> View:
    """Return that a question has reached nobody."""
    return problems.problem(
        _("Nobody who could answer can be reached right now. Please send it again later."),
        Button(_("💬 Support"), Support()),
    )


def too_many() -> View:
    """Return that somebody writes more than can be read."""
    return problems.problem(_("You have written a lot in the last hour. It is all here; please wait for an answer."))


def nothing() -> View:
    """Return that there was nothing in a message that could be passed on."""
    return problems.problem(
        _("That kind of message cannot be passed on. Please write it, or send a picture or a file."),
        Button(_("💬 Support"), Support()),
    )


def topic(customer: Customer) -> str:
    """Return what a customer's topic is called in a forum."""
    return customer.name or f"#{customer.id}"


def question(customer: Customer, text: str) -> View:
    """Return a question as staff read it; a reply to it goes back to the customer."""
    who = bold(customer.name or _("no name"))
    username = f" @{escape(customer.username)}" if customer.username else ""
    head = f"💬 {who}{username} · {code(f'/user {customer.id}')}"
    return View(f"{head}\n\n{escape(text)}" if text else head)


def answer(html: str) -> View:
    """Return what staff answered; `html` is empty when it comes as a message of its own."""
    head = bold(_("💬 Support answers"))
    return View(f"{head}\n\n{html}" if html else head, _answer_rows() if html else ())


def _answer_rows() -> tuple[tuple[Button, ...], ...]:
    return ((write_back(), problems.home()),)


def write_back() -> Button:
    """Return the way to go on talking."""
    return Button(_("💬 Write back"), Support())


def undelivered() -> View:
    """Return, to staff, that an answer has not reached its customer."""
    return View(_("⚠️ Not delivered: this customer has blocked the bot."))


def try_again() -> View:
    """Return, to staff, that an answer could not be delivered now."""
    return View(_("⚠️ Not delivered. Please send it again."))

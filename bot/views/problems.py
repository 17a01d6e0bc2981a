"""Screens for what went wrong: what happened, and what to do next."""

from billing.catalog import Item
from billing.errors import BillingError, Conflict, InsufficientFunds, InvalidAmount, NotFound, TooMany
from billing.models import Kind
from billing.quotes import NotSold
from bot.callbacks import Press
from bot.format import code, escape
from bot.i18n import _
from bot.links import Cards, Deploy, Home
from bot.view import Button, Rows, View
from cloud.offering import NotOffered


def problem(text: str, *next_steps: Button) -> View:
    """Return a screen that says what happened; the way home is always there."""
    rows: Rows = tuple((step,) for step in next_steps)
    return View(text, (*rows, (home(),)))


def home() -> Button:
    """Return the way to the start screen."""
    return Button(_("🏠 Home"), Home())


def back(press: Press) -> Button:
    """Return the way to the screen before."""
    return Button(_("‹ Back"), press)


def unknown_command() -> View:
    """Return the answer to a command that there is not, or not for this person."""
    return problem(_("I do not know this command. /help lists what I can do."))


def not_understood() -> View:
    """Return the answer to a text that nobody asked for."""
    return problem(_("I answer to commands and buttons. /help lists what I can do."), Button(_("🚀 Deploy"), Deploy()))


def old_screen() -> View:
    """Return the answer to a button that this version does not know."""
    return problem(_("That button is from an older screen. Here is the way on.")).with_toast(_("This screen is old"))


def forwarded() -> View:
    """Return the answer to a command that somebody else typed."""
    return problem(_("That was forwarded, so I did nothing. If you want it, type it yourself."))


def slow_down() -> View:
    """Return the one answer to who sends more than anybody types."""
    return View(
        _("That was a lot at once, and I have not read the last of it. Please wait ten seconds, then go on.")
    ).with_toast(_("Please wait ten seconds"))


def private_only(chat_url: str) -> View:
    """Return the one answer in a group."""
    return View(
        _("I only talk about machines and money in private."),
        ((Button(_("Open the private chat"), url=chat_url),),),
    )


def payments_unreachable() -> View:
    """Return the answer when the payment provider gave no answer."""
    return problem(
        _("The payment service does not answer right now. Nothing was charged. Please try again in a minute.")
    )


def cloud_unreachable() -> View:
    """Return the answer when the cloud gave no answer."""
    return problem(_("The machines cannot be reached right now. Nothing was changed. Please try again in a minute."))


def unforeseen(reference: str) -> View:
    """Return the answer to a mistake of ours, with a word to quote."""
    return problem(
        _("Something went wrong on our side. Please try again; if it stays, tell /support {reference}.").format(
            reference=code(reference)
        )
    )


def refused(error: BillingError) -> View:
    """Return the screen for a refusal of billing."""
    match error:
        case InvalidAmount(text=text):
            return problem(
                _("{text} is not an amount I can use. Type a number such as {example}.").format(
                    text=code(text[:40]), example=code("5.00")
                )
            )
        case NotFound():
            return problem(_("I cannot find that. It may be gone by now."))
        case InsufficientFunds():
            return problem(_("There is not enough money for that any more. Nothing was changed."))
        case NotSold():
            return _not_sold(_("That is not for sale right now."))
        case NotOffered(item=Item(kind=Kind.K8S)):
            return _not_sold(_("Kubernetes clusters are not offered here. Nothing was ordered."))
        case NotOffered():
            return _not_sold(_("Public IP addresses are not offered here. Nothing was ordered."))
        case TooMany(what="cards", most=most):
            return problem(
                _("You have {count} cards, which is as many as I keep. Remove one first.").format(count=most),
                Button(_("💳 Cards"), Cards()),
            )
        case TooMany(most=most):
            return problem(
                _("{count} payment pages of yours are open. Use one of them, or try again tomorrow.").format(count=most)
            )
        case Conflict():
            return problem(_("Something changed in the meantime. Please look again."))
    return problem(escape(error))


def _not_sold(text: str) -> View:
    """Return the answer to an order of what cannot be had."""
    return problem(text, Button(_("💲 See what is"), Deploy()))

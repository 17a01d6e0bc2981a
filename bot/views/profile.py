"""Billing details, budget and language."""

from billing.models import Customer
from billing.money import Currency
from billing.profile import MOST, Field
from bot.callbacks import Press, button
from bot.format import bold, code, escape, money
from bot.i18n import LANGUAGES, _
from bot.links import Cancel, Settings
from bot.view import Button, Rows, View
from bot.views import problems


@button("sq")
class AskField(Press):
    """Type one of the billing details."""

    field: Field


@button("sw")
class ClearField(Press):
    """Leave one of the billing details out."""

    field: Field


@button("sh")
class AskBudget(Press):
    """Type a budget."""


@button("si")
class ClearBudget(Press):
    """Have no budget."""


@button("sj")
class Speak(Press):
    """Use a language."""

    code: str


# --- billing details


def billing(customer: Customer) -> View:
    """Return what invoices say of a customer."""
    lines = [bold(_("🧾 Billing details")), ""]
    for field in Field:
        value = escape(now(customer, field)) or _("not set")
        lines.append(f"{label(field)}: {value}")
    lines += ["", _("They are printed on invoices from now on. Invoices that were issued stay as they are.")]
    rows: Rows = tuple((Button(_("✏️ {what}").format(what=label(field)), AskField(field=field)),) for field in Field)
    return View("\n".join(lines), (*rows, (problems.back(Settings()),)))


def now(customer: Customer, field: Field) -> str:
    """Return what is set."""
    return {
        Field.NAME: customer.billing_name,
        Field.ADDRESS: customer.billing_address,
        Field.TAX_ID: customer.billing_tax_id,
    }[field]


def label(field: Field) -> str:
    """Return what a field is called."""
    return {Field.NAME: _("Name"), Field.ADDRESS: _("Address"), Field.TAX_ID: _("Tax id")}[field]


def ask_field(field: Field, current: str, problem: str = "") -> View:
    """Return the question for one of them."""
    text = {
        Field.NAME: _("Which name shall stand on your invoices: yours, or your company's?"),
        Field.ADDRESS: _("Which address shall stand on your invoices? It may have several lines."),
        Field.TAX_ID: _("Which tax id shall stand on your invoices, such as a VAT number?"),
    }[field]
    if current:
        text += "\n\n" + _("Now: {value}").format(value=bold(current))
    clear: Rows = ((Button(_("🗑 Leave it out"), ClearField(field=field)),),) if current else ()
    return View(f"{problem}\n\n{text}" if problem else text, (*clear, (Button(_("✖️ Cancel"), Cancel()),)))


def too_long(field: Field) -> str:
    """Return that there is no room for a text."""
    return _("❌ That is too long: {count} characters are the most.").format(count=MOST[field])


def empty() -> str:
    """Return that nothing was typed."""
    return _("❌ There is no text in that message.")


# --- budget


def budget(amount: int | None, spent: int, currency: Currency) -> View:
    """Return the budget, and how much of it the month has used; amounts with tax."""
    lines = [bold(_("🎯 Monthly budget")), ""]
    if amount is None:
        lines.append(_("You have none. With one I warn you in time, and refuse orders that would break it."))
    else:
        lines.append(
            _("{spent} of {budget} used this month.").format(
                spent=bold(money(spent, currency)), budget=bold(money(amount, currency))
            )
        )
        lines.append(_("I warn you at 80 % and 100 %, and refuse orders that would break it. What runs keeps running."))
    clear: Rows = ((Button(_("🗑 No budget"), ClearBudget()),),) if amount is not None else ()
    return View("\n".join(lines), ((Button(_("✏️ Set a budget"), AskBudget()),), *clear, (problems.back(Settings()),)))


def ask_budget(example: str, problem: str = "") -> View:
    """Return the question for an amount."""
    text = _("How much may a month cost at most, tax included? Type an amount such as {example}.").format(
        example=code(example)
    )
    return View(f"{problem}\n\n{text}" if problem else text, ((Button(_("✖️ Cancel"), Cancel()),),))


def bad_amount(text: str) -> str:
    """Return that a text is no amount."""
    return _("❌ {text} is not an amount I can use.").format(text=code(text[:40] or " "))


# --- language


def languages(current: str) -> View:
    """Return the choice of languages, each by its own name."""
    rows: Rows = tuple(
        (Button(f"{'✅ ' if code == current else ''}{name}", Speak(code=code)),) for code, name in LANGUAGES.items()
    )
    return View(_("🌐 Which language shall I speak?"), (*rows, (problems.back(Settings()),)))

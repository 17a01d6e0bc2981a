"""Words that several of the administrators' screens use."""

from billing.models import Customer
from bot.admin_links import Panel, Users
from bot.callbacks import Press
from bot.format import code
from bot.i18n import _
from bot.view import Button, Rows, View
from bot.views import problems

_NAME = 40


def who(customer: Customer) -> str:
    """Return how administrators know a person: name, @name and number; plain text."""
    username = f" @{customer.username}" if customer.username else ""
    return f"{short(customer)}{username} ({customer.telegram_id})"


def short(customer: Customer) -> str:
    """Return a person's name, cut to fit a button; plain text."""
    return customer.name[:_NAME].strip() or f"@{customer.username or customer.telegram_id}"


def turn(newer: Press | None, older: Press | None) -> Rows:
    """Return the row of buttons that turn pages, if there is anything to turn to."""
    row = []
    if newer is not None:
        row.append(Button(_("‹ Newer"), newer))
    if older is not None:
        row.append(Button(_("Older ›"), older))
    return (tuple(row),) if row else ()


def panel() -> Button:
    """Return the way to the panel."""
    return Button(_("🛠 Panel"), Panel())


def done(text: str, *next_steps: Button) -> View:
    """Return that something is done; the panel is always there."""
    return View(text, (*((step,) for step in next_steps), (panel(), problems.home())))


def whom(example: str) -> View:
    """Return the question whom a command is about."""
    return View(
        _("👤 Whom? Type {example} with their Telegram number or @name, or choose a customer.").format(
            example=code(example)
        ),
        ((Button(_("👥 Customers"), Users()),), (panel(), problems.home())),
    )


def no_customer(text: str) -> View:
    """Return that nobody has this number or name."""
    return problems.problem(
        _("I know nobody with the number or name {text}.").format(text=code(text[:40])),
        Button(_("👥 Customers"), Users()),
    )

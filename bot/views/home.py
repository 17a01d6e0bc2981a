"""The start screen, the help, and the price list."""

from collections.abc import Mapping
from dataclasses import dataclass

from billing.catalog import Item
from billing.models import Kind
from billing.money import Currency
from bot.format import bold, escape, money
from bot.i18n import _, ngettext
from bot.links import AddCard, Cards, Clusters, Deploy, Home, Invoices, Machines, Prices, Settings
from bot.view import Button, Rows, View
from bot.views import problems, words


@dataclass(frozen=True, slots=True)
class HomeData:
    """What matters now to one person.

    Attributes:
        name: how Telegram shows them.
        machines: active machines, `clusters` likewise.
        this_month: cost of this month until now, minor units with tax.
        due: owed on open invoices.
        has_card: whether a valid card is there.
        is_admin: whether they run the business.
    """

    name: str
    machines: int
    clusters: int
    this_month: int
    due: int
    has_card: bool
    is_admin: bool


def home(data: HomeData, currency: Currency) -> View:
    """Return the start screen: what runs, what it costs, and the next step."""
    lines = [_("👋 Hello {name}!").format(name=bold(data.name or _("there")))]
    if data.machines or data.clusters:
        lines.append(_running(data))
    else:
        lines.append(_("Here you rent virtual machines and Kubernetes clusters and pay for the hours you use."))
    if data.this_month:
        lines.append(_("This month so far: {amount}").format(amount=bold(money(data.this_month, currency))))
    if data.due:
        lines.append(_("To pay: {amount}").format(amount=bold(money(data.due, currency))))
    return View("\n\n".join(lines), _home_rows(data))


def _running(data: HomeData) -> str:
    machines = ngettext("{count} machine", "{count} machines", data.machines).format(count=data.machines)
    clusters = ngettext("{count} cluster", "{count} clusters", data.clusters).format(count=data.clusters)
    return _("You have {things}.").format(
        things=", ".join(text for text, count in ((machines, data.machines), (clusters, data.clusters)) if count)
    )


def _home_rows(data: HomeData) -> Rows:
    first: Rows = ((Button(_("🧾 Pay what is due"), Invoices()),),) if data.due else ()
    card = Button(_("💳 Cards"), Cards()) if data.has_card else Button(_("💳 Add a card"), AddCard())
    return (
        *first,
        (Button(_("🚀 Deploy"), Deploy()), Button(_("💲 Prices"), Prices())),
        (Button(_("🖥 Machines"), Machines()), Button(_("☸️ Clusters"), Clusters())),
        (card, Button(_("🧾 Invoices"), Invoices())),
        (Button(_("⚙️ Settings"), Settings()),),
    )


def help_text(*, is_admin: bool) -> View:
    """Return what can be typed."""
    commands = [
        ("/deploy", _("a machine or a cluster")),
        ("/prices", _("what it costs")),
        ("/vms, /k8s", _("what you have")),
        ("/addcard, /cards", _("your cards")),
        ("/invoices", _("what you paid and owe")),
        ("/settings", _("SSH keys and the rest")),
        ("/cancel", _("leave a question")),
    ]
    if is_admin:
        commands.append(("/setprice", _("set a monthly price")))
    listing = "\n".join(f"{escape(command)} – {text}" for command, text in commands)
    return View(_("Everything works by buttons, or by typing:") + f"\n\n{listing}", ((Button(_("🏠 Home"), Home()),),))


def prices(listed: Mapping[Item, int], currency: Currency) -> View:
    """Return the price list."""
    if not listed:
        return problems.problem(_("Nothing is for sale yet. Please come back later."))
    parts = [_price_block(kind, listed, currency) for kind in Kind]
    note = _(
        "You pay per started hour, and never more than the monthly price. "
        "What you deploy keeps its price for its whole life."
    )
    return View(
        "\n\n".join([part for part in parts if part] + [note]),
        ((Button(_("🚀 Deploy"), Deploy()),), (problems.home(),)),
    )


def _price_block(kind: Kind, listed: Mapping[Item, int], currency: Currency) -> str:
    title = _("🖥 Machines, a month") if kind is Kind.VM else _("☸️ Cluster nodes, a month each")
    lines = [bold(title)]
    for of, monthly in listed.items():
        if of.kind is kind and not of.public:
            public = listed.get(Item(of.kind, of.size, public=True))
            extra = _(" (with public IP {amount})").format(amount=money(public, currency)) if public else ""
            lines.append(f"{bold(of.size)} {money(monthly, currency)}{extra}\n{words.size(of.size)}")
    return "\n".join(lines) if len(lines) > 1 else ""


def cancelled() -> View:
    """Return the answer to a question that was left."""
    return View(_("All right, nothing was changed."), ((Button(_("🏠 Home"), Home()),),))

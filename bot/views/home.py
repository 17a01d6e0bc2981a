"""The start screen, the help, and the price list."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from billing.catalog import Item
from billing.models import Kind
from billing.money import Currency
from bot import menu
from bot.admin_links import Panel
from bot.format import bold, enumerated, isolated, money
from bot.i18n import _, ngettext
from bot.links import (
    AddCard,
    AddKey,
    Balance,
    Cards,
    Clusters,
    Deploy,
    Home,
    Invoices,
    Machines,
    Prices,
    Settings,
    ShowQuote,
    Support,
    Usage,
)
from bot.view import Button, Rows, View
from bot.views import problems, words
from cloud.sold_out import Sort


@dataclass(frozen=True, slots=True)
class HomeData:
    """What matters now to one person.

    Attributes:
        name: how Telegram shows them.
        machines: active machines, `clusters` likewise.
        this_month: cost of this month until now, minor units with tax.
        due: owed on open invoices.
        waits: whether that is too little for a card, and there is one.
        has_card: whether a valid card is there.
        funds: voucher and balance together.
        has_key: whether an SSH key is there.
        waiting: the oldest order that waits for something, as its id and name.
        is_admin: whether they run the business.
        offers_clusters: whether clusters can be had here.
    """

    name: str
    machines: int
    clusters: int
    this_month: int
    due: int
    waits: bool
    has_card: bool
    funds: int
    has_key: bool
    waiting: tuple[int, str] | None
    is_admin: bool
    offers_clusters: bool


def home(data: HomeData, currency: Currency) -> View:
    """Return the start screen: what runs, what it costs, and the next step."""
    lines = [_("👋 Hello {name}!").format(name=bold(data.name or _("there")))]
    if data.machines or data.clusters:
        lines.append(_running(data))
    elif data.offers_clusters:
        lines.append(_("Here you rent virtual machines and Kubernetes clusters and pay for the hours you use."))
    else:
        lines.append(_("Here you rent virtual machines and pay for the hours you use."))
    if data.this_month:
        lines.append(_("This month so far: {amount}").format(amount=bold(money(data.this_month, currency))))
    if data.due:
        lines.append(_("To pay: {amount}").format(amount=bold(money(data.due, currency))))
    if data.waits:
        lines[-1] += "\n" + _("It is less than a card can be charged and waits for the next one. Nothing to do.")
    step = _next_step(data)
    if step is not None:
        lines.append(_("👉 Next: {step}").format(step=step.text))
    return View("\n\n".join(lines), _home_rows(data, step))


def _next_step(data: HomeData) -> Button | None:
    """Return what to do next: what is due first, then what is missing for the first machine."""
    if data.due and not data.waits:
        return Button(_("🧾 Pay what is due"), Invoices())
    if data.waiting is not None:
        quote_id, name = data.waiting
        return Button(_("🚀 Go on with {name}").format(name=name), ShowQuote(quote_id=quote_id))
    if data.machines or data.clusters:
        return None
    if not data.has_key:
        return Button(_("🔑 Add an SSH key"), AddKey())
    if not data.has_card and not data.funds:
        return Button(_("💳 Add a card"), AddCard())
    return Button(_("🚀 Start your first one"), Deploy())


def _running(data: HomeData) -> str:
    machines = ngettext("{count} machine", "{count} machines", data.machines).format(count=data.machines)
    clusters = ngettext("{count} cluster", "{count} clusters", data.clusters).format(count=data.clusters)
    return _("You have {things}.").format(
        things=enumerated(text for text, count in ((machines, data.machines), (clusters, data.clusters)) if count)
    )


def _home_rows(data: HomeData, step: Button | None) -> Rows:
    first: Rows = ((step,),) if step is not None else ()
    clusters = (Button(_("☸️ Clusters"), Clusters()),) if data.offers_clusters or data.clusters else ()
    last: Rows = ((Button(_("🛠 Administration"), Panel()),),) if data.is_admin else ()
    return (
        *first,
        (Button(_("🚀 Deploy"), Deploy()), Button(_("💲 Prices"), Prices())),
        (Button(_("🖥 Machines"), Machines()), *clusters),
        (Button(_("📊 Usage"), Usage()), Button(_("💰 Balance"), Balance())),
        (Button(_("🧾 Invoices"), Invoices()), Button(_("💳 Cards"), Cards())),
        (Button(_("⚙️ Settings"), Settings()), Button(_("💬 Support"), Support())),
        *last,
    )


def help_text(*, is_admin: bool, clusters: bool) -> View:
    """Return what can be typed: the menu's commands, and those that are quicker typed than tapped."""
    typed = {
        "delete": _("delete one of them"),
        "deleteall": _("delete everything"),
        "apply": _("ask for a voucher"),
        "addcard": _("add a card"),
        "pay": _("pay an invoice"),
        "invoice": _("one invoice as a document"),
        "sshkey": _("add an SSH key"),
        "email": _("set your e-mail address"),
        "cancel": _("leave a question"),
    }
    parts = [
        _("Everything works by buttons, or by typing:"),
        _commands({**menu.for_customers(clusters=clusters), **typed}),
    ]
    if is_admin:
        parts += [bold(_("🛠 Administration")), _commands(menu.for_administrators())]
    return View("\n\n".join(parts), ((Button(_("💬 Support"), Support()), Button(_("🏠 Home"), Home())),))


def _commands(listed: Mapping[str, str]) -> str:
    return "\n".join(f"{isolated(f'/{name}')} – {text}" for name, text in listed.items())


def prices(listed: Mapping[Item, int], currency: Currency, *, clusters: bool, gone: Collection[Sort]) -> View:
    """Return the price list; `clusters` is whether they can be had, `gone` what there is no room for."""
    if not listed:
        return problems.problem(_("Nothing is for sale yet. Please come back later."))
    parts = [_price_block(kind, listed, currency, gone) for kind in Kind]
    if not clusters:
        parts.append(_("Kubernetes clusters are not offered here."))
    note = _(
        "You pay per started hour, and never more than the monthly price. "
        "What you deploy keeps its price for its whole life."
    )
    return View(
        "\n\n".join([part for part in parts if part] + [note]),
        ((Button(_("🚀 Deploy"), Deploy()),), (problems.home(),)),
    )


def _price_block(kind: Kind, listed: Mapping[Item, int], currency: Currency, gone: Collection[Sort]) -> str:
    title = _("🖥 Machines, a month") if kind is Kind.VM else _("☸️ Cluster nodes, a month each")
    lines = [bold(title)]
    for of, monthly in listed.items():
        if of.kind is kind and not of.public:
            public = listed.get(Item(of.kind, of.size, public=True))
            extra = _(" (with public IP {amount})").format(amount=money(public, currency)) if public else ""
            lines.append(f"{bold(of.size)} {money(monthly, currency)}{extra}\n{words.size(of.size)}")
            if (of.kind, of.size) in gone:
                lines.append(_("🚫 Sold out right now"))
    return "\n".join(lines) if len(lines) > 1 else ""


def cancelled() -> View:
    """Return the answer to a question that was left."""
    return View(_("All right, nothing was changed."), ((Button(_("🏠 Home"), Home()),),))

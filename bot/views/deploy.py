"""The order, step by step, and what may stand in its way."""

from collections.abc import Collection, Mapping

from billing.catalog import Item
from billing.eligibility import Reason, Refusal, Verdict
from billing.models import Kind, Quote
from billing.money import Currency
from billing.quotes import MAX_WORKERS
from billing.terms import Terms
from bot.callbacks import Press, button
from bot.format import bold, code, day, money, when
from bot.i18n import _
from bot.links import AddCard, AddKey, Cancel, Deploy, EnterVoucher, Home, Invoices, Settings, ShowQuote, Topup
from bot.view import Button, Rows, View
from bot.views import problems, words
from cloud.names import LENGTH_MAX, BadName, Fault
from cloud.sizes import SIZES
from cloud.sold_out import Sort


@button("dk")
class ChooseKind(Press):
    """A machine, or a cluster."""

    kind: Kind


@button("ds")
class ChooseSize(Press):
    """How large."""

    kind: Kind
    size: str


@button("da")
class ChooseAddress(Press):
    """With or without a public address."""

    kind: Kind
    size: str
    public: bool


@button("dw")
class ChooseWorkers(Press):
    """How many workers a cluster has."""

    size: str
    public: bool
    workers: int


@button("dn")
class UseName(Press):
    """The suggested name."""

    kind: Kind
    size: str
    public: bool
    workers: int
    name: str


@button("dc")
class Confirm(Press):
    """Deploy what was offered."""

    quote_id: int


@button("dx")
class Discard(Press):
    """Give the order up."""

    quote_id: int


WORKER_CHOICES = (1, 2, 3, 5, 10)


def kinds(*, clusters: bool) -> View:
    """Return the first question; `clusters` is whether they can be had."""
    machine, cluster = (
        Button(_("🖥 Machine"), ChooseKind(kind=Kind.VM)),
        Button(_("☸️ Cluster"), ChooseKind(kind=Kind.K8S)),
    )
    return View(
        _("What would you like to deploy?"),
        ((machine, cluster) if clusters else (machine,), (problems.home(),)),
    )


def sizes(kind: Kind, listed: Mapping[Item, int], currency: Currency, gone: Collection[Sort]) -> View:
    """Return the choice of sizes with their prices; `gone` is what there is no room for."""
    on_sale = {of.size: monthly for of, monthly in listed.items() if of.kind is kind and not of.public}
    if not on_sale:
        return problems.problem(_("Nothing of this kind is for sale yet."), problems.back(Deploy()))
    question = _("Which size?") if kind is Kind.VM else _("Which size shall the nodes have?")
    lines = [f"{bold(name)} – {words.size(name)}" for name in SIZES if name in on_sale]
    rows: Rows = tuple(
        (
            Button(
                (_("{size} · sold out right now") if (kind, name) in gone else _("{size} · {amount} a month")).format(
                    size=name, amount=money(on_sale[name], currency)
                ),
                ChooseSize(kind=kind, size=name),
            ),
        )
        for name in SIZES
        if name in on_sale
    )
    return View("\n".join([question, "", *lines]), (*rows, (problems.back(Deploy()),)))


def addresses(kind: Kind, size: str, listed: Mapping[Item, int], currency: Currency) -> View:
    """Return the choice between with and without a public address."""
    rows: Rows = tuple(
        (
            Button(
                (_("🌍 Public IP · {amount} a month") if public else _("🔒 No public IP · {amount} a month")).format(
                    amount=money(listed[Item(kind, size, public)], currency)
                ),
                ChooseAddress(kind=kind, size=size, public=public),
            ),
        )
        for public in (False, True)
        if Item(kind, size, public) in listed
    )
    text = _("Does it need a public IP address? Without one you reach it by SSH all the same.")
    return View(text, (*rows, (problems.back(ChooseKind(kind=kind)),)))


def workers(size: str, *, public: bool) -> View:
    """Return the choice of workers."""
    row = tuple(Button(str(count), ChooseWorkers(size=size, public=public, workers=count)) for count in WORKER_CHOICES)
    back = problems.back(ChooseSize(kind=Kind.K8S, size=size))
    return View(_("How many workers, beside the control plane? Each node costs its price."), (row, (back,)))


def ask_name(of: Item, workers_count: int, suggestion: str, problem: str = "") -> View:
    """Return the question for a name; `problem` says what was wrong with the last one."""
    question = _("What shall it be called? Type a name such as {example}.").format(example=code(suggestion))
    rows: Rows = ((Button(_("✖️ Cancel"), Cancel()),),)
    if len(suggestion) <= _ON_A_BUTTON:
        use = UseName(kind=of.kind, size=of.size, public=of.public, workers=workers_count, name=suggestion)
        rows = ((Button(_("Call it {name}").format(name=suggestion), use),), *rows)
    return View(f"{problem}\n\n{question}" if problem else question, rows)


_ON_A_BUTTON = 40
"""Letters of a name that fit into a button's 64 bytes with all the rest of the order; a longer one is typed."""


def offer(quote: Quote, terms: Terms, *, before: int | None = None, gone: Collection[Sort] = ()) -> View:
    """Return the order with its price, one tap from done.

    Args:
        quote: the order.
        terms: the terms of business.
        before: a price that no longer holds.
        gone: what there was no room for at the last try.
    """
    of = Item.parse(quote.item)
    lines = [
        f"{bold(quote.name)} · {words.item(of, quote.workers)}",
        words.size(of.size),
        "",
        price_line(quote.monthly, terms),
    ]
    if before is not None and before != quote.monthly:
        lines.append(
            _("⚠️ The price has changed: it was {before}, it is {now} now.").format(
                before=money(before, terms.currency), now=money(quote.monthly, terms.currency)
            )
        )
    lines.append(_("The price is held until {time}.").format(time=when(quote.expires_at)))
    if (of.kind, of.size) in gone:
        lines.append(_("🚫 There was no room for this size a moment ago. You can try; what fails is never billed."))
    return View("\n".join(lines), confirm_or_not(quote.id, quote.name))


def confirm_or_not(quote_id: int, name: str) -> Rows:
    """Return the buttons of an order that can go through."""
    return (
        (Button(_("✅ Deploy {name}").format(name=name), Confirm(quote_id=quote_id)),),
        (Button(_("✖️ Cancel"), Discard(quote_id=quote_id)),),
    )


def price_line(monthly: int, terms: Terms) -> str:
    """Return what a monthly price means by the hour, and that tax is added where it is."""
    text = _("{monthly} a month, about {hourly} per started hour. You pay for the hours, never more than the month.")
    line = text.format(monthly=bold(money(monthly, terms.currency)), hourly=words.hourly(monthly, terms.currency))
    if terms.tax_basis_points:
        line += " " + _("Tax of {percent} % is added.").format(percent=f"{terms.tax_basis_points / 100:g}")
    return line


def refused(quote: Quote, verdict: Verdict, terms: Terms) -> View:
    """Return why an order cannot go through now, and every way to mend it."""
    reasons = "\n\n".join(_reason(refusal, terms) for refusal in verdict.refusals)
    text = _("⏸ {name} cannot be deployed yet.").format(name=bold(quote.name)) + f"\n\n{reasons}"
    if quote.kept_until is not None:
        text += "\n\n" + _("Your order is kept until {time}. I offer it again when this is done.").format(
            time=when(quote.kept_until)
        )
    rows = [row for refusal in verdict.refusals for row in _ways(refusal, quote)]
    rows.append((Button(_("🔄 Try again"), ShowQuote(quote_id=quote.id)),))
    rows.append((Button(_("✖️ Give up the order"), Discard(quote_id=quote.id)),))
    return View(text, tuple(dict.fromkeys(rows)))


def _reason(refusal: Refusal, terms: Terms) -> str:
    amount, limit = money(refusal.amount, terms.currency), money(refusal.limit, terms.currency)
    match refusal.reason:
        case Reason.FUNDS:
            return _("💳 A card is missing. Add one, or have {amount} more in balance or vouchers.").format(
                amount=bold(amount)
            )
        case Reason.OVERDUE:
            since = day(refusal.since) if refusal.since else ""
            return _("🧾 {amount} is unpaid since {day}. Please pay it first.").format(amount=bold(amount), day=since)
        case Reason.NO_SSH_KEY:
            return _("🔑 You have no SSH key yet; without one nobody could log in.")
        case Reason.CREDIT_LIMIT:
            return _(
                "📈 It goes {amount} over your limit of {limit}. Pay or delete something, or ask /support."
            ).format(amount=bold(amount), limit=limit)
        case Reason.BUDGET:
            return _("🎯 It goes {amount} over your own monthly budget of {limit}. Change it in the settings.").format(
                amount=bold(amount), limit=limit
            )
        case Reason.DISPUTE:
            return _("⚖️ A payment of yours is disputed at your bank. /support can help.")
        case Reason.BLOCKED:
            return _("⛔ New deployments are stopped for you. /support can tell you why.")
        case Reason.MAINTENANCE:
            return _("🛠 We are doing maintenance. What runs keeps running; please try again later.")


def _ways(refusal: Refusal, quote: Quote) -> Rows:
    match refusal.reason:
        case Reason.FUNDS:
            funds = (Button(_("💰 Charge the balance"), Topup()), Button(_("🎟 Voucher"), EnterVoucher()))
            return ((Button(_("💳 Add a card"), AddCard()),), funds)
        case Reason.OVERDUE:
            return ((Button(_("🧾 Invoices"), Invoices()),),)
        case Reason.NO_SSH_KEY:
            return ((Button(_("🔑 Add an SSH key"), AddKey(quote_id=quote.id)),),)
        case Reason.BUDGET:
            return ((Button(_("⚙️ Settings"), Settings()),),)
        case _:
            return ()


def usage() -> View:
    """Return how `/deploy` is typed."""
    return problems.problem(
        _("Type it like this:")
        + "\n"
        + "\n".join(code(example) for example in ("/deploy vm small web-1 public", "/deploy k8s medium lab 3"))
        + "\n\n"
        + _("or just {command}, and I will ask.").format(command="/deploy")
        + " "
        + _("A cluster has 1 to {most} workers.").format(most=MAX_WORKERS),
        Button(_("🚀 Ask me"), Deploy()),
    )


def discarded() -> View:
    """Return the answer to an order that was given up."""
    return View(
        _("The order is gone. Nothing was charged."),
        ((Button(_("🚀 New order"), Deploy()), Button(_("🏠 Home"), Home())),),
    )


def bad_name(error: BadName) -> str:
    """Return what is wrong with a name that was typed."""
    shown = code(error.text.strip()[:_SHOWN] or " ")
    match error.fault:
        case Fault.EMPTY:
            return _("❌ A name is missing.")
        case Fault.TOO_LONG:
            return _("❌ That name is too long; {count} letters are the most.").format(count=LENGTH_MAX)
        case Fault.HYPHENS:
            return _("❌ {name} begins or ends with a hyphen.").format(name=shown)
        case Fault.CHARACTERS:
            return _("❌ {name} is no host name: use a–z, 0–9 and hyphens.").format(name=shown)


_SHOWN = 70


def taken(name: str) -> str:
    """Return that a name is in use."""
    return _("❌ You have something called {name} already.").format(name=code(name))

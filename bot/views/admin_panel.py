"""The panel: what matters now, and the way to everything; maintenance; messages that cannot be delivered."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from billing.models import Kind, Notice
from billing.money import Currency
from billing.statistics import Now
from bot.admin_links import (
    Administrators,
    AllDeployments,
    AllInvoices,
    Announce,
    AuditLog,
    Maintenance,
    Panel,
    Parked,
    Stats,
    Users,
    Which,
)
from bot.callbacks import Press, button
from bot.format import bold, code, enumerated, escape, money, when
from bot.i18n import _, ngettext
from bot.links import Prices, Requests
from bot.view import Button, Rows, View
from bot.views import problems, words
from bot.views.admin_vouchers import Vouchers
from cloud.models import State
from cloud.sizes import SIZES
from cloud.sold_out import Sort

_JOBS = 5
_ERROR = 80


@button("ao")
class SetMaintenance(Press):
    """Stop new deployments, or sell again."""

    on: bool


@button("aq")
class RetryParked(Press):
    """Try those up to this one again."""

    up_to: int


@button("ax")
class DropParked(Press):
    """Leave those up to this one for good."""

    up_to: int


@dataclass(frozen=True, slots=True)
class PanelData:
    """What the panel shows: figures of the books, deployments by state, whether nothing is sold, what has no room."""

    figures: Now
    states: Mapping[State, int]
    maintenance: bool
    gone: Collection[Sort]


def panel(data: PanelData, currency: Currency) -> View:
    """Return the panel."""
    figures = data.figures
    lines = [bold(_("🛠 The business now")), ""]
    if data.maintenance:
        lines += [_("🚧 Maintenance: customers cannot deploy."), ""]
    lines += [
        _customers(figures),
        "🖥 "
        + enumerated(_state(data.states, state) for state in _TOLD if data.states[state] or state is State.SUCCESS),
        *_sold_out(data.gone),
        *_owed(figures, currency),
        *_trouble(figures),
    ]
    return View("\n".join(lines), _rows(figures))


_TOLD = (State.SUCCESS, State.IN_PROGRESS, State.FAILED)


def _customers(figures: Now) -> str:
    count = ngettext("{count} customer", "{count} customers", figures.customers).format(count=figures.customers)
    if not figures.blocked:
        return f"👥 {count}"
    return _("👥 {customers}, {blocked} of them blocked").format(customers=count, blocked=figures.blocked)


def _sold_out(gone: Collection[Sort]) -> list[str]:
    shown = [f"{kind.value} {size}" for kind in Kind for size in SIZES if (kind, size) in gone]
    return [_("🚫 Sold out at the last order: {sizes}").format(sizes=enumerated(shown))] if shown else []


def _owed(figures: Now, currency: Currency) -> list[str]:
    if not figures.debt:
        return [_("✅ Nobody owes anything.")]
    count = ngettext("{count} customer", "{count} customers", figures.debtors).format(count=figures.debtors)
    return [_("🟠 {amount} owed by {count}").format(amount=bold(money(figures.debt, currency)), count=count)]


def _state(states: Mapping[State, int], state: State) -> str:
    return f"{words.STATE_SIGNS[state]} {states[state]} {words.state(state)}"


def _trouble(figures: Now) -> list[str]:
    found = [
        text.format(count=count)
        for count, text in (
            (figures.requests, _("✋ Voucher requests waiting: {count}")),
            (figures.parked, _("⚠️ Messages that cannot be delivered: {count}")),
            (figures.unknown, _("❔ Payments with no answer yet: {count}")),
            (figures.waiting, _("📤 Messages on their way: {count}")),
        )
        if count
    ]
    failed = list(figures.troubled.items())[:_JOBS]
    return found + [
        _("🔴 Job {name} failed: {error}").format(name=code(name), error=escape(error[:_ERROR]))
        for name, error in failed
    ]


def _rows(figures: Now) -> Rows:
    urgent: Rows = ()
    if figures.requests:
        urgent += ((Button(_("✋ Requests: {count}").format(count=figures.requests), Requests()),),)
    if figures.parked:
        urgent += ((Button(_("⚠️ Undelivered: {count}").format(count=figures.parked), Parked()),),)
    return (
        *urgent,
        (Button(_("👥 Customers"), Users()), Button(_("🖥 Deployments"), AllDeployments(which=Which.LIVE))),
        (Button(_("🧾 Invoices"), AllInvoices()), Button(_("🟠 Unpaid"), AllInvoices(unpaid=True))),
        (Button(_("💲 Prices"), Prices()), Button(_("🎟 Vouchers"), Vouchers())),
        (Button(_("📊 Figures"), Stats()), Button(_("📜 Audit"), AuditLog())),
        (Button(_("📢 Announce"), Announce()), Button(_("🚧 Maintenance"), Maintenance())),
        (Button(_("🔑 Administrators"), Administrators()), Button(_("🔄 Refresh"), Panel())),
        (problems.home(),),
    )


# --- maintenance


def maintenance(*, on: bool, usage: bool = False) -> View:
    """Return whether new deployments are stopped, and the switch."""
    if on:
        text = _("🚧 Maintenance is {state}: customers cannot deploy, and are told why. You still can.").format(
            state=bold(_("on"))
        )
        switch = Button(_("✅ Sell again"), SetMaintenance(on=False))
    else:
        text = _("✅ Maintenance is {state}: everybody can deploy.").format(state=bold(_("off")))
        switch = Button(_("🚧 Stop new deployments"), SetMaintenance(on=True))
    if usage:
        text = _("Type {on} or {off}.").format(on=code("/maintenance on"), off=code("/maintenance off")) + f"\n\n{text}"
    return View(text, ((switch,), (Button(_("🛠 Panel"), Panel()), problems.home())))


# --- messages that cannot be delivered


def parked(notices: Sequence[Notice], total: int) -> View:
    """Return the newest messages that cannot be delivered, with why."""
    back = (Button(_("🛠 Panel"), Panel()), problems.home())
    if not notices:
        return View(_("✅ Every message could be delivered."), (back,))
    lines = [
        bold(
            ngettext("⚠️ {count} message cannot be delivered", "⚠️ {count} messages cannot be delivered", total).format(
                count=total
            )
        ),
        "",
    ]
    lines += [
        f"{notice.id} · {when(notice.created_at)} · {escape(notice.kind.replace('_', ' '))} · {notice.channel.value}"
        f" · {notice.recipient or '–'}\n{escape(notice.error[:_ERROR])}"
        for notice in notices
    ]
    newest = notices[0].id
    return View(
        "\n".join(lines),
        (
            (Button(_("🔄 Try all again"), RetryParked(up_to=newest)),),
            (Button(_("✖️ Leave them all"), DropParked(up_to=newest)),),
            back,
        ),
    )


def tried_again(count: int) -> str:
    """Return the word over the chat when parked messages were put in line again."""
    return ngettext("{count} message is tried again", "{count} messages are tried again", count).format(count=count)


def dropped(count: int) -> str:
    """Return the word over the chat when parked messages were given up."""
    return ngettext("{count} message is given up", "{count} messages are given up", count).format(count=count)

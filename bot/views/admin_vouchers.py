"""Vouchers as administrators see them: new codes, what became of them, and requests (A3, B1, C10)."""

from collections.abc import Sequence
from datetime import datetime

from billing import vouchers
from billing.models import Customer, RequestStatus, Voucher, VoucherRequest
from billing.money import Currency
from billing.voucher_requests import Waiting
from billing.vouchers import MOST_AT_ONCE, MOST_DAYS, Batch, Issued, State
from bot.callbacks import Press, button
from bot.format import bold, code, day, escape, money, when
from bot.i18n import _, ngettext
from bot.links import Cancel, Requests
from bot.view import Attachment, Button, View
from bot.views import problems

BATCHES = 8
"""Batches on one screen."""
VOUCHERS = 15
"""Vouchers of a batch on one screen."""
SHOWN = 10
"""So many codes stand under their file as text; more would not fit there."""
_NOTE = 60
_NAME = 40
_REASON = 500

_SIGNS = {State.OPEN: "🟢", State.REDEEMED: "✅", State.EXPIRED: "⌛", State.REVOKED: "✖️"}


@button("vn")
class NewVoucher(Press):
    """Ask what vouchers to make."""


@button("vl")
class Vouchers(Press):
    """A page of all batches."""

    page: int = 0


@button("vb")
class ShowBatch(Press):
    """A page of one batch, named by its first voucher."""

    voucher_id: int
    page: int = 0


@button("vx")
class AskRevoke(Press):
    """Ask whether what is open of a batch shall be taken back."""

    voucher_id: int


@button("vy")
class RevokeNow(Press):
    """It shall."""

    voucher_id: int


@button("vr")
class ShowRequest(Press):
    """One request."""

    request_id: int


@button("vk")
class Approve(Press):
    """Give what was asked for."""

    request_id: int


@button("vj")
class Reject(Press):
    """Refuse it."""

    request_id: int


@button("vz")
class AskApproveAll(Press):
    """Ask whether all that wait shall be approved."""


@button("vw")
class ApproveAll(Press):
    """All up to this one: what came since was not seen."""

    up_to: int


# --- new ones


def ask_new(problem: str = "") -> View:
    """Return the question what vouchers to make, which says how `/newvoucher` is typed."""
    examples = ("/newvoucher 10", "/newvoucher 10.00 25", "/newvoucher 10 25 30 for the meetup")
    text = (
        _("🎟 Which vouchers? Type the amount, then, if you like, how many, for how many days, and what for:")
        + "\n"
        + "\n".join(code(example) for example in examples)
        + "\n\n"
        + _("At most {count} at once, and {days} days.").format(count=MOST_AT_ONCE, days=MOST_DAYS)
    )
    return View(f"{problem}\n\n{text}" if problem else text, ((Button(_("✖️ Cancel"), Cancel()),),))


def out_of_bounds() -> str:
    """Return that a count or a number of days is not possible."""
    return _("❌ That many vouchers, or days, cannot be made.")


def one(issued: Issued, link: str, picture: bytes, currency: Currency) -> View:
    """Return one new voucher with the picture of its link."""
    (voucher,), (text,) = issued.vouchers, issued.codes
    lines = [_about(voucher, 1, currency), "", code(text), escape(link), "", _only_now()]
    return View(
        "\n".join(lines),
        ((Button(_("📋 Copy the code"), copy=text), Button(_("📋 Copy the link"), copy=link)), _after()),
        Attachment(f"voucher-{voucher.hint}.png", picture, picture=True),
    )


def many(issued: Issued, table: bytes, currency: Currency) -> View:
    """Return several new vouchers as a file, with their codes as text where they are few."""
    first = issued.vouchers[0]
    lines = [_about(first, len(issued.codes), currency)]
    if len(issued.codes) <= SHOWN:
        lines += ["", *(code(text) for text in issued.codes)]
    return View("\n".join([*lines, "", _only_now()]), (_after(),), Attachment(f"vouchers-{first.hint}.csv", table))


def _about(voucher: Voucher, count: int, currency: Currency) -> str:
    what = ngettext("{count} voucher of {amount}", "{count} vouchers of {amount} each", count).format(
        count=count, amount=money(voucher.amount, currency)
    )
    parts = [f"🎟 {bold(what)}", _until(voucher)]
    if voucher.note:
        parts.append(f"<i>{escape(voucher.note[:_NOTE])}</i>")
    return "\n".join(parts)


def _until(voucher: Voucher) -> str:
    if voucher.expires_at is None:
        return _("can be redeemed at any time")
    return _("can be redeemed before {time}").format(time=when(voucher.expires_at))


def _only_now() -> str:
    return _("⚠️ Keep the codes now: I store only their fingerprints and cannot show them again.")


def _after() -> tuple[Button, ...]:
    return (Button(_("🎟 All vouchers"), Vouchers()), problems.home())


# --- all of them


def listing(batches: Sequence[Batch], page: int, currency: Currency, *, more: bool) -> View:
    """Return a page of all batches, newest first."""
    new = Button(_("🎟 New vouchers"), NewVoucher())
    if not batches:
        return View(
            _("🎟 There are no vouchers yet."), ((new,), (Button(_("✋ Requests"), Requests()), problems.home()))
        )
    rows: list[tuple[Button, ...]] = [
        (Button(_batch_line(batch, currency), ShowBatch(voucher_id=batch.first.id)),) for batch in batches
    ]
    rows += turn(
        Vouchers(page=page - 1) if page else None,
        Vouchers(page=page + 1) if more else None,
    )
    legend = _("🎟 Vouchers, newest first: how many, worth, how many were redeemed (✅) and can be (🟢).")
    return View(legend, (*rows, (new, Button(_("✋ Requests"), Requests())), (problems.home(),)))


def turn(newer: Press | None, older: Press | None) -> list[tuple[Button, ...]]:
    """Return the row of buttons that turn pages, if there is anything to turn to."""
    row = []
    if newer is not None:
        row.append(Button(_("‹ Newer"), newer))
    if older is not None:
        row.append(Button(_("Older ›"), older))
    return [tuple(row)] if row else []


def _batch_line(batch: Batch, currency: Currency) -> str:
    first = batch.first
    note = f" · {first.note[:20]}" if first.note else ""
    worth = money(first.amount, currency)
    return f"{day(first.created_at)} · {batch.count} × {worth} · ✅ {batch.redeemed} 🟢 {batch.open}{note}"


def batch(
    of: Batch, rows: Sequence[tuple[Voucher, Customer | None]], page: int, currency: Currency, now: datetime
) -> View:
    """Return one batch with a page of its vouchers."""
    first = of.first
    lines = [_about(first, of.count, currency), _("made {time}").format(time=when(first.created_at)), ""]
    lines += [_voucher_line(voucher, who, now) for voucher, who in rows]
    further = (page + 1) * VOUCHERS < of.count
    buttons = turn(
        ShowBatch(voucher_id=first.id, page=page - 1) if page else None,
        ShowBatch(voucher_id=first.id, page=page + 1) if further else None,
    )
    if of.open:
        text = ngettext("✖️ Take {count} back", "✖️ Take {count} back", of.open).format(count=of.open)
        buttons.append((Button(text, AskRevoke(voucher_id=first.id)),))
    return View("\n".join(lines), (*buttons, (problems.back(Vouchers()), problems.home())))


def _voucher_line(voucher: Voucher, who: Customer | None, now: datetime) -> str:
    state = vouchers.state(voucher, now)
    text = f"{_SIGNS[state]} …{voucher.hint} {_state(state)}"
    if who is not None and voucher.redeemed_at is not None:
        text += f" {day(voucher.redeemed_at)}, {escape(who.name[:_NAME])}"
    return text


def _state(state: State) -> str:
    return {
        State.OPEN: _("open"),
        State.REDEEMED: _("redeemed"),
        State.EXPIRED: _("expired"),
        State.REVOKED: _("taken back"),
    }[state]


def ask_revoke(of: Batch) -> View:
    """Return the one question before vouchers are taken back."""
    return View(
        ngettext(
            "Take back {count} voucher that nobody has redeemed? Its code stops working.",
            "Take back {count} vouchers that nobody has redeemed? Their codes stop working.",
            of.open,
        ).format(count=bold(of.open)),
        (
            (Button(_("✖️ Take them back"), RevokeNow(voucher_id=of.first.id)),),
            (Button(_("‹ Keep them"), ShowBatch(voucher_id=of.first.id)),),
        ),
    )


# --- requests


def no_requests() -> View:
    """Return that nobody asks for anything."""
    return View(_("✋ No request waits."), ((Button(_("🎟 Vouchers"), Vouchers()), problems.home()),))


def request(of: Waiting, waiting: Sequence[VoucherRequest], currency: Currency) -> View:
    """Return one request as a card, with the way to the next one."""
    row = of.request
    lines = [
        _("✋ {name} asks for {amount}").format(name=bold(who(of.customer)), amount=bold(money(row.amount, currency))),
        f"<i>{escape(row.reason[:_REASON])}</i>",
        _("asked {time}").format(time=when(row.created_at)),
    ]
    buttons: list[tuple[Button, ...]] = []
    if row.status is RequestStatus.PENDING:
        buttons.append(decision(row.id))
    else:
        lines.append(decided(row))
    later = [other.id for other in waiting if other.id > row.id] or [
        other.id for other in waiting if other.id != row.id
    ]
    if later:
        buttons.append((Button(_("Next ›"), ShowRequest(request_id=later[0])),))
    if len(waiting) > 1:
        buttons.append((Button(_("✅ Approve all {count}").format(count=len(waiting)), AskApproveAll()),))
        lines.append("\n" + _("{count} wait in all.").format(count=len(waiting)))
    return View("\n".join(lines), (*buttons, (Button(_("🎟 Vouchers"), Vouchers()), problems.home())))


def who(customer: Customer) -> str:
    """Return how administrators know a person: name, @name and number."""
    username = f" @{customer.username}" if customer.username else ""
    return f"{customer.name[:_NAME] or '–'}{username} ({customer.telegram_id})"


def decision(request_id: int) -> tuple[Button, ...]:
    """Return the two buttons under a request that waits."""
    return (
        Button(_("✅ Approve"), Approve(request_id=request_id)),
        Button(_("❌ Reject"), Reject(request_id=request_id)),
    )


def decided(row: VoucherRequest) -> str:
    """Return what became of a request."""
    text = _("✅ approved {time}") if row.status is RequestStatus.APPROVED else _("❌ rejected {time}")
    return text.format(time=when(row.decided_at) if row.decided_at else "")


def ask_approve_all(waiting: Sequence[VoucherRequest], currency: Currency) -> View:
    """Return the one question before all are approved, with what that comes to."""
    total = sum(row.amount for row in waiting)
    return View(
        ngettext(
            "Approve {count} request, {amount} in all?", "Approve {count} requests, {amount} in all?", len(waiting)
        ).format(count=bold(len(waiting)), amount=bold(money(total, currency))),
        (
            (Button(_("✅ Approve all of them"), ApproveAll(up_to=waiting[-1].id)),),
            (Button(_("‹ One by one"), Requests()),),
        ),
    )


def approved_all(count: int, amount: int, currency: Currency) -> View:
    """Return how many were approved, and what they came to."""
    return View(
        ngettext(
            "✅ {count} request approved, {amount} in all. They have been told.",
            "✅ {count} requests approved, {amount} in all. They have been told.",
            count,
        ).format(count=count, amount=bold(money(amount, currency))),
        ((Button(_("✋ Requests"), Requests()), Button(_("🎟 Vouchers"), Vouchers())), (problems.home(),)),
    )


def decided_already() -> str:
    """Return the word over the chat when somebody was quicker."""
    return _("Somebody has decided this already")

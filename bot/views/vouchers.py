"""Vouchers as customers see them: a code typed, what became of it, and asking for one (A3, A4, B1)."""

from collections.abc import Sequence

from billing.models import VoucherRequest
from billing.money import Currency
from billing.vouchers import Answer, Redemption
from bot.callbacks import Press, button
from bot.format import bold, code, day, escape, money, when
from bot.i18n import _, ngettext
from bot.links import Apply, Balance, Cancel, Deploy, EnterVoucher
from bot.view import Button, Rows, View
from bot.views import problems

_FEW = 5
"""So many wrong codes before the stop, it is said how many are left."""


@button("vf")
class ApplyFor(Press):
    """Ask for one of the offered amounts, by its place among them."""

    choice: int


def ask_code() -> View:
    """Return the question for a code."""
    return View(
        _("🎟 Send me the voucher code. It looks like {example}.").format(example=code("7K2M-9QXA-41TB-ZC6D-8WPE")),
        ((Button(_("✋ I have none, request one"), Apply()),), (Button(_("✖️ Cancel"), Cancel()),)),
    )


def answer(of: Redemption, voucher_balance: int, currency: Currency) -> View:
    """Return what became of a code."""
    match of.answer:
        case Answer.REDEEMED:
            return _done(
                _("✅ Voucher redeemed: {amount}").format(amount=bold(money(of.amount, currency)))
                + "\n"
                + _("Your vouchers come to {amount}. What is due is paid from them right away.").format(
                    amount=bold(money(voucher_balance, currency))
                )
            )
        case Answer.YOURS:
            return _done(
                _("💡 You redeemed this voucher of {amount} on {day} already.").format(
                    amount=money(of.amount, currency), day=day(of.at) if of.at else ""
                )
            )
        case Answer.EXPIRED:
            text = _(
                "❌ This voucher of {amount} could be redeemed until {time}. Please ask who gave it to you."
            ).format(amount=money(of.amount, currency), time=when(of.at) if of.at else "")
            return problems.problem(text + _left(of))
        case Answer.UNKNOWN:
            text = _("❌ That is no voucher that can be redeemed. Please check the code; each one works once.")
            return problems.problem(text + _left(of), Button(_("🎟 Try again"), EnterVoucher()))
        case Answer.STOPPED:
            return problems.problem(
                _("⛔ Too many wrong codes. I look at codes of yours again at {time}.").format(
                    time=when(of.at) if of.at else ""
                )
            )


def _done(text: str) -> View:
    return View(text, ((Button(_("💰 Balance"), Balance()), Button(_("🚀 Deploy"), Deploy())), (problems.home(),)))


def _left(of: Redemption) -> str:
    if of.left > _FEW:
        return ""
    return "\n" + ngettext(
        "{count} more wrong code is allowed within the hour.",
        "{count} more wrong codes are allowed within the hour.",
        of.left,
    ).format(count=of.left)


def ask_amount(amounts: Sequence[int], currency: Currency) -> View:
    """Return the question how much of a voucher is asked for."""
    offers = tuple(Button(money(amount, currency), ApplyFor(choice=place)) for place, amount in enumerate(amounts))
    return View(
        _("✋ You can ask for a voucher. How much do you need? Choose, or type an amount."),
        (*in_rows(offers), (Button(_("✖️ Cancel"), Cancel()),)),
    )


def in_rows(buttons: Sequence[Button], width: int = 3) -> Rows:
    """Return buttons in rows of a few."""
    return tuple(tuple(buttons[start : start + width]) for start in range(0, len(buttons), width))


def ask_reason(amount: int, currency: Currency) -> View:
    """Return the question what a voucher is for."""
    return View(
        _("✋ {amount}. What is it for? A sentence or two is enough.").format(amount=bold(money(amount, currency))),
        ((Button(_("✖️ Cancel"), Cancel()),),),
    )


def requested(request: VoucherRequest, currency: Currency) -> View:
    """Return that a request is on its way."""
    return View(
        _("✅ Your request for {amount} is with the administrators. I write here as soon as it is decided.").format(
            amount=bold(money(request.amount, currency))
        )
        + f"\n<i>{escape(request.reason)}</i>",
        ((Button(_("💰 Balance"), Balance()), problems.home()),),
    )


def too_many(pending: int) -> View:
    """Return why another request has to wait."""
    return problems.problem(
        ngettext(
            "❌ {count} request of yours waits already. Please wait until it is decided.",
            "❌ {count} requests of yours wait already. Please wait until one is decided.",
            pending,
        ).format(count=pending)
    )


def too_much(most: int, currency: Currency) -> View:
    """Return how much can be asked for at once."""
    return problems.problem(
        _("❌ At most {amount} can be asked for at once.").format(amount=money(most, currency)),
        Button(_("✋ Choose another amount"), Apply()),
    )

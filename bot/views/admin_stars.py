"""Payments in Telegram Stars as administrators see them, and giving one back (7.5)."""

from collections.abc import Sequence

from billing.models import Customer, Payment
from billing.money import Currency
from bot.callbacks import Press, button
from bot.format import bold, code, day, escape, money, when
from bot.i18n import _
from bot.view import Button, View
from bot.views import problems
from bot.views.admin_vouchers import turn, who

PAGE = 8
"""Payments on one screen."""


@button("rs")
class StarsPaid(Press):
    """A page of payments in stars."""

    page: int = 0


@button("rp")
class ShowStars(Press):
    """One of them."""

    payment_id: int


@button("rr")
class RefundStars(Press):
    """Give it back."""

    payment_id: int


def listing(rows: Sequence[tuple[Payment, Customer]], page: int, currency: Currency, *, more: bool) -> View:
    """Return a page of payments in stars, newest first."""
    if not rows:
        return View(_("⭐ No Telegram Stars have come yet."), ((problems.home(),),))
    buttons: list[tuple[Button, ...]] = [
        (Button(_line(payment, customer, currency), ShowStars(payment_id=payment.id)),) for payment, customer in rows
    ]
    buttons += turn(StarsPaid(page=page - 1) if page else None, StarsPaid(page=page + 1) if more else None)
    return View(_("⭐ Paid in Telegram Stars, newest first (↩️ given back)"), (*buttons, (problems.home(),)))


def _line(payment: Payment, customer: Customer, currency: Currency) -> str:
    sign = "↩️" if payment.refunded else "⭐"
    worth = money(payment.amount, currency)
    return f"{sign} {payment.stars} = {worth} · {day(payment.created_at)} · {customer.name[:20] or '–'}"


def one(payment: Payment, customer: Customer, currency: Currency, problem: str = "") -> View:
    """Return one payment in stars, with the button that gives it back."""
    lines = [problem, ""] if problem else []
    lines += [
        f"⭐ {bold(payment.stars)} = {bold(money(payment.amount, currency))}",
        escape(who(customer)),
        when(payment.created_at),
        code(payment.provider_id or ""),
    ]
    rows: list[tuple[Button, ...]] = []
    if payment.refund_try_at is not None:
        lines.append(_("⏳ Telegram has not said yet whether they are given back."))
    elif payment.refunded:
        lines.append(_("↩️ Given back; {amount} left their balance.").format(amount=money(payment.amount, currency)))
    else:
        lines.append(
            _("Giving them back takes {amount} off their balance.").format(amount=money(payment.amount, currency))
        )
        text = _("↩️ Give {stars} Stars back").format(stars=payment.stars)
        rows.append((Button(text, RefundStars(payment_id=payment.id)),))
    return View("\n".join(lines), (*rows, (problems.back(StarsPaid()), problems.home())))


def spent() -> str:
    """Return why they cannot be given back."""
    return _("❌ The balance holds less than that by now: spent money is not given back this way.")

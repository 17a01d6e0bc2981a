"""Balance: what there is and how long it lasts, and charging it (A1, A20, C4, C11)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from billing import cards
from billing.errors import OutOfRange
from billing.models import Card, Payment
from billing.money import Currency
from bot.callbacks import Press, button
from bot.format import bold, day, escape, money
from bot.i18n import _
from bot.links import AddCard, Balance, Cancel, EnterVoucher, PayAll, Topup
from bot.view import Button, Rows, StarsInvoice, View
from bot.views import problems
from bot.views.vouchers import in_rows


@button("tf")
class TopupFor(Press):
    """Charge one of the offered amounts, by its place among them."""

    choice: int


@button("tc")
class TopupByCard(Press):
    """Pay a top-up with a saved card."""

    payment_id: int
    card_id: int


@button("ts")
class TopupByStars(Press):
    """Pay a top-up in Telegram Stars."""

    payment_id: int


@button("ta")
class TopupAgain(Press):
    """Begin a top-up of the same amount anew."""

    payment_id: int


@dataclass(frozen=True, slots=True)
class Money:
    """What a customer has; amounts in minor units.

    Attributes:
        voucher: voucher money, `balance` charged money; both can be spent.
        balance: see `voucher`.
        due: owed on open invoices, with tax.
        this_month: cost of this month until now, with tax.
        monthly: monthly prices of all that runs, with tax; 0 when nothing does.
        until: when voucher and balance no longer cover what is used; `None` when they last.
        over: they do not cover it today.
        dearest: the deployment whose end would help most; empty when there is none.
        has_card: a valid card is there, which pays what they do not.
    """

    voucher: int
    balance: int
    due: int
    this_month: int
    monthly: int
    until: datetime | None
    over: bool
    dearest: str
    has_card: bool


def balance(of: Money, currency: Currency) -> View:
    """Return what there is, what is owed, and how long it lasts."""
    lines = [
        _("💰 Balance: {amount}").format(amount=bold(money(of.balance, currency))),
        _("🎟 Vouchers: {amount}").format(amount=bold(money(of.voucher, currency))),
        _("🧾 To pay: {amount}").format(amount=bold(money(of.due, currency))),
    ]
    if of.this_month:
        lines.append(_("📈 This month so far: {amount}").format(amount=bold(money(of.this_month, currency))))
    if of.monthly:
        lines += ["", _runway(of, currency)]
    return View("\n".join(lines), _ways(of))


def _runway(of: Money, currency: Currency) -> str:
    monthly = money(of.monthly, currency)
    if of.over and of.has_card and not of.voucher and not of.balance:
        return _("⏳ You use {monthly} a month; your card pays it.").format(monthly=monthly)
    if of.until is None:
        return _("⏳ At {monthly} a month, voucher and balance last for years.").format(monthly=monthly)
    if of.over:
        text = _("⏳ You use {monthly} a month, and voucher and balance do not cover it any more.")
    else:
        text = _("⏳ At {monthly} a month, voucher and balance last until {day}.")
    lines = [text.format(monthly=monthly, day=bold(day(of.until)))]
    if of.has_card:
        lines.append(_("Your card pays what they do not."))
    elif of.dearest:
        lines.append(_("Stopping {name} would save most.").format(name=bold(escape(of.dearest))))
    return "\n".join(lines)


def _ways(of: Money) -> Rows:
    pay: Rows = ((Button(_("🧾 Pay what is due"), PayAll()),),) if of.due else ()
    add: Rows = () if of.has_card else ((Button(_("💳 Add a card"), AddCard()),),)
    top_up = (Button(_("💰 Charge the balance"), Topup()), Button(_("🎟 Voucher"), EnterVoucher()))
    return (*pay, top_up, *add, (problems.home(),))


# --- charging it


def ask_amount(amounts: Sequence[int], currency: Currency) -> View:
    """Return the question how much to charge."""
    offers = tuple(Button(money(amount, currency), TopupFor(choice=place)) for place, amount in enumerate(amounts))
    return View(
        _("💰 How much shall I charge to your balance? Choose, or type an amount."),
        (*in_rows(offers), (Button(_("✖️ Cancel"), Cancel()),)),
    )


def ways(payment: Payment, url: str, card: Card | None, stars: int | None, currency: Currency) -> View:
    """Return the ways to pay a top-up: its page, a saved card with one tap, stars."""
    rows: list[tuple[Button, ...]] = [(Button(_("💳 Open the payment page"), url=url),)]
    if card is not None:
        text = _("⚡ {card}, one tap").format(card=cards.label(card))
        rows.append((Button(text, TopupByCard(payment_id=payment.id, card_id=card.id)),))
    if stars is not None:
        rows.append((Button(_("⭐ {stars} Telegram Stars").format(stars=stars), TopupByStars(payment_id=payment.id)),))
    return View(
        _("💰 Charge {amount} to your balance. It is there as soon as it is paid, and pays what is due first.").format(
            amount=bold(money(payment.amount, currency))
        ),
        (*rows, (problems.back(Balance()), problems.home())),
    )


def charged(amount: int, balance_: int, currency: Currency) -> View:
    """Return that a saved card has paid."""
    return View(
        _("✅ {amount} charged. Your balance: {balance}").format(
            amount=bold(money(amount, currency)), balance=bold(money(balance_, currency))
        ),
        ((Button(_("💰 Balance"), Balance()), problems.home()),),
    )


def again(payment_id: int) -> Button:
    """Return the way to begin a top-up anew."""
    return Button(_("🔁 Try again"), TopupAgain(payment_id=payment_id))


def out_of_range(error: OutOfRange, currency: Currency) -> View:
    """Return between which amounts it has to be."""
    return problems.problem(
        _("❌ {amount} cannot be charged at once: it is from {least} to {most}.").format(
            amount=money(error.amount, currency), least=money(error.least, currency), most=money(error.most, currency)
        ),
        Button(_("💰 Choose another amount"), Topup()),
    )


# --- stars


def stars_invoice(payment: Payment, payload: str, currency: Currency) -> View:
    """Return the invoice that the chat itself takes stars for."""
    amount = money(payment.amount, currency)
    title = _("Balance {amount}").format(amount=amount)[:_TITLE]
    text = _("{amount} on your balance, at once.").format(amount=amount)
    return View(text, invoice=StarsInvoice(title, text[:_DESCRIPTION], payload, payment.stars or 0))


_TITLE, _DESCRIPTION = 32, 255


def stars_gone() -> View:
    """Return why an invoice in stars cannot be paid, without markup: the chat shows it."""
    return View(_("This invoice is not good any more, or not yours. Type /topup for a new one."))


def stars_unclaimed() -> View:
    """Return that stars came which nobody knows the worth of."""
    return problems.problem(_("⏳ Your stars arrived. An administrator looks at what they are worth."))

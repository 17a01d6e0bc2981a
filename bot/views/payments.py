"""How a payment went: the same words for invoices paid by hand and for the balance charged."""

from billing.models import Payment, PaymentMethod, PaymentStatus
from billing.money import Currency
from bot.format import bold, escape, money
from bot.i18n import _
from bot.links import AddCard
from bot.view import Button, View
from bot.views import problems


def waiting(payment: Payment, url: str, currency: Currency, *ways: Button) -> View:
    """Return a payment that waits for its customer: at the bank, or on the payment page.

    Args:
        payment: which.
        url: where they go on; empty when that is not known yet.
        currency: of the amount.
        ways: what they can do instead.
    """
    amount = bold(money(payment.amount, currency))
    if payment.method is PaymentMethod.CHECKOUT:
        text = _("💳 Pay {amount} on the payment page. I write here as soon as it is done.").format(amount=amount)
        go = Button(_("💳 Open the payment page"), url=url)
    else:
        text = _("🔐 Your bank asks you to confirm {amount}. Nothing is lost meanwhile.").format(amount=amount)
        go = Button(_("🔐 Confirm at the bank"), url=url)
    rows = ((go,),) if url else ()
    return View(text, (*rows, *((way,) for way in ways), (problems.home(),)))


def unsettled(payment: Payment, card: str, currency: Currency, again: Button) -> View:
    """Return a payment that took nothing, or of which nobody knows yet.

    Args:
        payment: not succeeded, and not waiting for its customer.
        card: the card as people know it; empty for none.
        currency: of the amount.
        again: the way to try again.
    """
    amount = bold(money(payment.amount, currency))
    match payment.status:
        case PaymentStatus.DECLINED:
            text = _("❌ {card} was declined. Nothing was taken. Another card may work, or ask your bank.")
            return problems.problem(text.format(card=bold(escape(card))), again, Button(_("💳 Add a card"), AddCard()))
        case PaymentStatus.CREATED | PaymentStatus.UNKNOWN:
            text = _(
                "⏳ The payment service has not said yet what became of {amount}. I ask it again and write here; "
                "nothing is charged twice."
            )
            return problems.problem(text.format(amount=amount))
        case PaymentStatus.FAILED:
            text = _("❌ The payment service did not take {amount}. Nothing was charged, and the operator knows.")
            return problems.problem(text.format(amount=amount), again)
    return problems.problem(_("💡 That payment was called off. Nothing was charged."), again)

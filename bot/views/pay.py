"""Paying by hand: the exact split before anything is paid, sources to leave out, and how it went (C1, rules.md 6.3)."""

from collections.abc import Sequence
from dataclasses import dataclass

from billing import cards
from billing.errors import BelowMinimum
from billing.ledger import Balances
from billing.models import AccountKind, Card, Invoice
from billing.money import Currency
from billing.settlement import Plan
from billing.settling import Choice
from bot.callbacks import Press, button
from bot.format import bold, code, money
from bot.i18n import _, ngettext
from bot.links import AddCard, Balance, Invoices, PayAll, PayInvoice, ShowInvoice, Topup
from bot.view import Button, Rows, View
from bot.views import problems

_LISTED = 10
"""Invoices that are named when all are paid, or chosen from."""
_CARDS = 6


@button("pc")
class ChooseSources(Press):
    """The split with these sources; `invoice_id` 0 is all invoices, `card_id` 0 no saved card."""

    invoice_id: int
    voucher: bool
    balance: bool
    card_id: int
    page: bool


@button("pn")
class PayNow(Press):
    """Pay exactly the split that was shown, or nothing: its digest says which; `attempt` names the try."""

    invoice_id: int
    voucher: bool
    balance: bool
    card_id: int
    page: bool
    attempt: int
    digest: str


@button("px")
class PayOtherwise(Press):
    """Call off what waits for the customer, and choose again."""

    invoice_id: int


@dataclass(frozen=True, slots=True)
class Split:
    """What is to be paid, and how.

    Attributes:
        invoices: what is paid, as far as it is due and nothing is on its way.
        total: what they need in all.
        invoice_id: the one that was asked for, 0 for all.
        choice: the sources.
        plan: who pays what; the error where a card would have to pay too little.
        have: what there is; `cards` likewise.
        cards: cards that may be tried.
        attempt: names this try.
    """

    invoices: Sequence[Invoice]
    total: int
    invoice_id: int
    choice: Choice
    plan: Plan | BelowMinimum
    have: Balances
    cards: Sequence[Card]
    attempt: int


def split(of: Split, currency: Currency) -> View:
    """Return the split with the buttons that change it and the one that pays it."""
    lines = [*_what(of, currency), "", *_how(of, currency)]
    rows: list[tuple[Button, ...]] = []
    if isinstance(of.plan, Plan) and (amount := _paid_now(of.plan)):
        rows.append((Button(_("✅ Pay {amount}").format(amount=money(amount, currency)), _pay_now(of, of.plan)),))
    rows += [*_funds(of, currency), *_card_choices(of)]
    rows.append((Button(_("💳 Add a card"), AddCard()), Button(_("💰 Charge the balance"), Topup())))
    back = ShowInvoice(invoice_id=of.invoice_id) if of.invoice_id else Invoices()
    return View("\n".join(lines), (*rows, (problems.back(back), problems.home())))


def _what(of: Split, currency: Currency) -> list[str]:
    total = bold(money(of.total, currency))
    if len(of.invoices) == 1:
        return [_("🧾 To pay for {number}: {amount}").format(number=bold(of.invoices[0].number), amount=total)]
    count = len(of.invoices)
    title = ngettext("🧾 To pay for {count} invoice: {amount}", "🧾 To pay for {count} invoices: {amount}", count)
    named = [f"• {invoice.number} · {money(open_of(invoice), currency)}" for invoice in of.invoices[:_LISTED]]
    more = [f"… +{count - _LISTED}"] if count > _LISTED else []
    return [title.format(count=count, amount=total), *named, *more]


def _how(of: Split, currency: Currency) -> list[str]:
    if isinstance(of.plan, BelowMinimum):
        return [
            _(
                "⚠️ A card cannot be charged less than {minimum}. Charge your balance, or let it wait: "
                "it is then charged together with the next invoice."
            ).format(minimum=money(of.plan.minimum, currency))
        ]
    lines = [
        f"{name} {bold(money(amount, currency))}"
        for name, amount in (
            (_("🎟 Vouchers"), _from(of.plan, AccountKind.VOUCHER)),
            (_("💰 Balance"), _from(of.plan, AccountKind.BALANCE)),
            (f"💳 {_card_name(of)}", of.plan.by_card),
        )
        if amount
    ]
    left = of.total - _paid_now(of.plan)
    if not lines:
        lines.append(_("Nothing is chosen to pay it with."))
    elif left:
        lines.append(_("Stays open: {amount}").format(amount=money(left, currency)))
    return lines


def _from(plan: Plan, source: AccountKind) -> int:
    return sum(payment.amount for payment in plan.funds if payment.source is source)


def _paid_now(plan: Plan) -> int:
    return plan.by_card + sum(payment.amount for payment in plan.funds)


def _card_name(of: Split) -> str:
    chosen = next((card for card in of.cards if card.id == of.choice.card_id), None)
    return cards.label(chosen) if chosen else _("payment page")


def _pay_now(of: Split, plan: Plan) -> PayNow:
    return PayNow(
        invoice_id=of.invoice_id,
        voucher=of.choice.voucher,
        balance=of.choice.balance,
        card_id=of.choice.card_id or 0,
        page=of.choice.page,
        attempt=of.attempt,
        digest=plan.digest,
    )


def _choose(of: Split, *, voucher: bool, balance: bool, card_id: int | None, page: bool) -> ChooseSources:
    return ChooseSources(invoice_id=of.invoice_id, voucher=voucher, balance=balance, card_id=card_id or 0, page=page)


def _funds(of: Split, currency: Currency) -> Rows:
    """Return a switch for each source of funds that holds anything."""
    choice, row = of.choice, []
    if of.have.voucher:
        press = _choose(
            of, voucher=not choice.voucher, balance=choice.balance, card_id=choice.card_id, page=choice.page
        )
        row.append(Button(_switch(on=choice.voucher) + _("Vouchers") + f" {money(of.have.voucher, currency)}", press))
    if of.have.balance:
        press = _choose(
            of, voucher=choice.voucher, balance=not choice.balance, card_id=choice.card_id, page=choice.page
        )
        row.append(Button(_switch(on=choice.balance) + _("Balance") + f" {money(of.have.balance, currency)}", press))
    return (tuple(row),) if row else ()


def _switch(*, on: bool) -> str:
    return "☑️ " if on else "⬜ "


def _card_choices(of: Split) -> Rows:
    """Return which card pays the rest: one of the saved ones, one typed on a page, or none."""
    choice = of.choice
    options: list[tuple[str, int | None, bool]] = [(cards.label(card), card.id, False) for card in of.cards[:_CARDS]]
    options += [(_("Another card, on the payment page"), None, True), (_("No card"), None, False)]
    return tuple(
        (
            Button(
                ("🔘 " if (choice.card_id, choice.page) == (card_id, page) else "⚪ ") + name,
                _choose(of, voucher=choice.voucher, balance=choice.balance, card_id=card_id, page=page),
            ),
        )
        for name, card_id, page in options
    )


# --- how it went


def paid(amount: int, left: int, currency: Currency) -> View:
    """Return that it is paid, and what is still open of all invoices."""
    text = _("✅ Paid: {amount}").format(amount=bold(money(amount, currency)))
    rows: Rows = ()
    if left:
        text += "\n" + _("Still to pay: {amount}").format(amount=money(left, currency))
        rows = ((Button(_("🧾 Pay the rest"), PayAll()),),)
    return View(text, (*rows, (Button(_("🧾 Invoices"), Invoices()), problems.home())))


def nothing_due(invoice: Invoice | None) -> View:
    """Return that there is nothing to pay; of one invoice, or of all."""
    if invoice is None:
        text = _("✅ Nothing is to be paid.")
    elif invoice.due:
        text = _("⚖️ {number} cannot be paid now: what is open of it is disputed at your bank.").format(
            number=bold(invoice.number)
        )
    else:
        text = _("✅ {number} is paid.").format(number=bold(invoice.number))
    return View(text, ((Button(_("🧾 Invoices"), Invoices()), Button(_("💰 Balance"), Balance())), (problems.home(),)))


def again(invoice_id: int) -> Button:
    """Return the way to the split, as it is now."""
    return Button(_("🔁 Try again"), PayInvoice(invoice_id=invoice_id) if invoice_id else PayAll())


def otherwise(invoice_id: int) -> Button:
    """Return the way to call off what waits for the customer."""
    return Button(_("🔁 Pay otherwise"), PayOtherwise(invoice_id=invoice_id))


def open_of(invoice: Invoice) -> int:
    """Return what can be paid of an invoice: what is disputed waits."""
    return invoice.due - invoice.disputed


def choose(invoices: Sequence[Invoice], currency: Currency) -> View:
    """Return what can be paid: one invoice, or all."""
    total = sum(open_of(invoice) for invoice in invoices)
    rows: list[tuple[Button, ...]] = [
        (Button(_("🧾 All {count}: {amount}").format(count=len(invoices), amount=money(total, currency)), PayAll()),)
    ]
    rows += [
        (Button(f"🟠 {invoice.number} · {money(open_of(invoice), currency)}", PayInvoice(invoice_id=invoice.id)),)
        for invoice in invoices[:_LISTED]
    ]
    return View(_("🧾 What shall be paid?"), (*rows, (problems.home(),)))


def unknown_number(text: str) -> View:
    """Return that there is no such invoice of theirs."""
    return problems.problem(
        _("You have no invoice {number}.").format(number=code(text[:40])), Button(_("🧾 Invoices"), Invoices())
    )


def changed() -> str:
    """Return the word over the chat when the split is not the one that was shown."""
    return _("That has changed meanwhile: nothing was paid. Please look again.")

"""`/pay`: invoices paid by hand, the exact split shown first, and it or nothing (A8, A9, C1, rules.md 6.3, 6.4)."""

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from billing import cards, checkouts, dues, invoices, ledger, payments, settling
from billing.errors import BelowMinimum, Conflict, NotFound
from billing.models import Card, Invoice, Payment, PaymentMethod, PaymentStatus
from billing.settlement import Plan
from billing.settling import Choice
from bot.context import Context
from bot.guards import everyone
from bot.links import PayAll, PayInvoice
from bot.router import Route, command, press
from bot.view import View
from bot.views import pay as views
from bot.views import payments as payment_views
from bot.views.pay import ChooseSources, PayNow, PayOtherwise, Split

_ALL = 0
"""In place of an invoice's id: all of them."""


def handlers() -> tuple[Route, ...]:
    """Return what this feature answers to."""
    return (
        command("pay", _pay, everyone),
        press(PayInvoice, _one, everyone),
        press(PayAll, _all, everyone),
        press(ChooseSources, _choose, everyone),
        press(PayNow, _pay_now, everyone),
        press(PayOtherwise, _otherwise, everyone),
    )


async def _pay(ctx: Context, text: str) -> View:
    if text.lower() == "all":
        return await _split(ctx, _ALL)
    async with ctx.database.read() as session:
        if text:
            try:
                invoice = await invoices.by_number(session, ctx.customer, text)
            except NotFound:
                return views.unknown_number(text)
            open_ones = [invoice]
        else:
            open_ones = await _open(session, ctx, None)
    if len(open_ones) > 1:
        return views.choose(open_ones, ctx.terms.currency)
    return await _split(ctx, open_ones[0].id if open_ones else _ALL)


async def _open(session: AsyncSession, ctx: Context, ids: tuple[int, ...] | None) -> list[Invoice]:
    """Return invoices that can be paid now, smallest id first."""
    found = await dues.open_dues(session, ctx.customer.id, ids)
    return [await session.get_one(Invoice, due.invoice_id) for due in found]


async def _one(ctx: Context, press: PayInvoice) -> View:
    return await _split(ctx, press.invoice_id)


async def _all(ctx: Context, _: PayAll) -> View:
    return await _split(ctx, _ALL)


async def _choose(ctx: Context, press: ChooseSources) -> View:
    return await _split(ctx, press.invoice_id, _choice(press))


def _choice(press: ChooseSources | PayNow) -> Choice:
    return Choice(
        invoice_ids=_ids(press.invoice_id),
        voucher=press.voucher,
        balance=press.balance,
        card_id=press.card_id or None,
        page=press.page and not press.card_id,
    )


def _ids(invoice_id: int) -> tuple[int, ...] | None:
    return None if invoice_id == _ALL else (invoice_id,)


# --- the split


async def _split(ctx: Context, invoice_id: int, choice: Choice | None = None) -> View:
    """Show the split of these sources; at first, of all funds and the card that is charged first."""
    async with ctx.database.read() as session:
        asked = None if invoice_id == _ALL else await invoices.get(session, ctx.customer, invoice_id)
        open_ones = await _open(session, ctx, _ids(invoice_id))
        if not open_ones:
            return await _nothing_open(session, ctx, asked)
        mine = [card for card in await cards.listed(session, ctx.customer.id) if not cards.is_expired(card, ctx.now)]
        if choice is None or (choice.card_id and choice.card_id not in {card.id for card in mine}):
            first = _first(mine, ctx)
            choice = Choice(_ids(invoice_id), card_id=first, page=first is None)
        made = await _attempts(session, ctx)
        shown = Split(
            invoices=open_ones,
            total=sum(views.open_of(invoice) for invoice in open_ones),
            invoice_id=invoice_id,
            choice=choice,
            plan=await _plan(session, ctx, choice),
            have=await ledger.balances(session, ctx.customer.id),
            cards=mine,
            attempt=made,
        )
    return views.split(shown, ctx.terms.currency)


def _first(mine: Sequence[Card], ctx: Context) -> int | None:
    """Return the card to offer: the first that is valid, else the first that may pay after all."""
    for fits in (cards.is_valid, cards.is_chargeable):
        for card in mine:
            if fits(card, ctx.now):
                return card.id
    return None


async def _plan(session: AsyncSession, ctx: Context, choice: Choice) -> Plan | BelowMinimum:
    try:
        return await settling.preview(session, ctx.customer.id, choice, minimum=ctx.terms.card_minimum)
    except BelowMinimum as error:
        return error


async def _attempts(session: AsyncSession, ctx: Context) -> int:
    """Return how many payments a customer has made: the same screen tapped twice names the same next one."""
    made = await session.scalar(select(func.count()).where(Payment.customer_id == ctx.customer.id))
    return made or 0


async def _nothing_open(session: AsyncSession, ctx: Context, asked: Invoice | None) -> View:
    """Show what is on its way for the invoice, or for any; else that there is nothing to pay."""
    for payment in await payments.in_flight(session, ctx.customer.id):
        touched = {row.invoice_id for row in await payments.allocations(session, payment.id)}
        if asked is None or asked.id in touched:
            return await _under_way(session, ctx, payment, asked.id if asked else _ALL)
    return views.nothing_due(asked)


async def _under_way(session: AsyncSession, ctx: Context, payment: Payment, invoice_id: int) -> View:
    currency = ctx.terms.currency
    if payment.status is PaymentStatus.ACTION:
        page = payment.method is PaymentMethod.CHECKOUT
        url = (await checkouts.of_payment(session, payment.id)).url if page else payment.action_url
        return payment_views.waiting(payment, url, currency, views.otherwise(invoice_id))
    card = await session.get(Card, payment.card_id) if payment.card_id else None
    return payment_views.unsettled(payment, cards.label(card) if card else "", currency, views.again(invoice_id))


# --- paying


async def _pay_now(ctx: Context, press: PayNow) -> View:
    """Pay the split whose digest the button holds; the same screen tapped again shows the same payment."""
    choice = _choice(press)
    async with ctx.database.read() as session:
        before = (await ledger.balances(session, ctx.customer.id)).receivable
    operation = f"hand:{ctx.customer.id}:{press.attempt}:{press.digest}:{press.card_id}"
    try:
        payment = await ctx.services.cashier.pay(ctx.customer.id, choice, digest=press.digest, operation=operation)
    except (Conflict, BelowMinimum):
        return await _changed(ctx, press.invoice_id, choice)
    ctx.services.wake("money")
    ctx.services.wake("messages")
    if payment is not None and payment.status is not PaymentStatus.SUCCEEDED:
        return await _not_yet(ctx, payment, press.invoice_id)
    async with ctx.database.read() as session:
        left = (await ledger.balances(session, ctx.customer.id)).receivable
        amount = before - left if payment is None else await payments.brought(session, payment.id)
    return views.paid(amount, left, ctx.terms.currency)


async def _changed(ctx: Context, invoice_id: int, choice: Choice) -> View:
    """Show the split as it is now; what was paid by the tap before this one is no change to tell."""
    async with ctx.database.read() as session:
        still_open = await _open(session, ctx, _ids(invoice_id))
    view = await _split(ctx, invoice_id, choice)
    return view.with_toast(views.changed()) if still_open else view


async def _not_yet(ctx: Context, payment: Payment, invoice_id: int) -> View:
    if payment.method is PaymentMethod.CHECKOUT and payment.status is PaymentStatus.ACTION:
        async with ctx.database.read() as session:
            checkout = await checkouts.of_payment(session, payment.id)
        await ctx.services.checkouts.open(checkout)
    async with ctx.database.read() as session:
        return await _under_way(session, ctx, payment, invoice_id)


async def _otherwise(ctx: Context, press: PayOtherwise) -> View:
    """Call off what waits for the customer, confirmed by the provider, and show the split again."""
    await ctx.services.cashier.cancel_waiting(ctx.customer.id, _ids(press.invoice_id))
    ctx.services.wake("money")
    return await _split(ctx, press.invoice_id)

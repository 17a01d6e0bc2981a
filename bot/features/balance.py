"""`/balance`, `/topup`: what there is, how long it lasts, and charging it by page, card or stars (7.4, 7.5, C4)."""

from telegram import PreCheckoutQuery, RefundedPayment, SuccessfulPayment

from billing import cards, facts, ledger, runway, stars, topups
from billing.errors import Conflict, NotFound, OutOfRange
from billing.models import Card, Checkout, Payment, PaymentStatus
from billing.stars import Receipt
from bot import awaiting
from bot.context import Context
from bot.guards import everyone
from bot.links import Balance, Topup
from bot.router import Answer, Route, answer, before_payment, command, payment, press, refund
from bot.view import View
from bot.views import balance as views
from bot.views import payments as payment_views
from bot.views.balance import TopupAgain, TopupByCard, TopupByStars, TopupFor

_AMOUNT = "topup"
_STARS = "stars"


def handlers() -> tuple[Route, ...]:
    """Return what this feature answers to."""
    return (
        command("balance", _balance, everyone),
        press(Balance, _balance_tapped, everyone),
        command("topup", _topup, everyone),
        press(Topup, _ask_amount, everyone),
        press(TopupFor, _chosen, everyone),
        answer(_AMOUNT, _typed, everyone),
        press(TopupByCard, _by_card, everyone),
        press(TopupAgain, _again, everyone),
        press(TopupByStars, _by_stars, everyone),
        before_payment(_STARS, _may_pay, everyone),
        payment(_STARS, _paid, everyone),
        refund(_STARS, _given_back, everyone),
    )


async def _balance(ctx: Context, _: str) -> View:
    async with ctx.database.read() as session:
        have = await ledger.balances(session, ctx.customer.id)
        purse = await facts.purse(session, ctx.customer.id, now=ctx.now, terms=ctx.terms)
        until = runway.lasts_until(purse, now=ctx.now, terms=ctx.terms)
        shown = views.Money(
            voucher=have.voucher,
            balance=have.balance,
            due=have.receivable,
            this_month=ctx.terms.with_tax(purse.used(ctx.now, ctx.terms)),
            monthly=ctx.terms.with_tax(purse.monthly),
            until=until,
            over=until is not None and until <= ctx.now,
            dearest=purse.dearest.name if purse.dearest else "",
            has_card=await cards.has_valid(session, ctx.customer.id, now=ctx.now),
        )
    return views.balance(shown, ctx.terms.currency)


async def _balance_tapped(ctx: Context, _: Balance) -> View:
    return await _balance(ctx, "")


# --- charging it


async def _topup(ctx: Context, text: str) -> View:
    if not text:
        return await _ask_amount(ctx, Topup())
    return await _begin(ctx, ctx.terms.currency.parse(text))


async def _ask_amount(ctx: Context, _: Topup) -> View:
    async with ctx.database.transaction() as session:
        await awaiting.ask(session, ctx, _AMOUNT)
    return views.ask_amount(topups.suggestions(ctx.terms), ctx.terms.currency)


async def _chosen(ctx: Context, press: TopupFor) -> View:
    offered = topups.suggestions(ctx.terms)
    if not 0 <= press.choice < len(offered):
        raise Conflict("other amounts are offered now")
    return await _begin(ctx, offered[press.choice])


async def _typed(ctx: Context, given: Answer) -> View:
    return await _begin(ctx, ctx.terms.currency.parse(given.text))


async def _again(ctx: Context, press: TopupAgain) -> View:
    async with ctx.database.read() as session:
        before = await topups.get(session, ctx.customer.id, press.payment_id)
    return await _begin(ctx, before.amount)


async def _begin(ctx: Context, amount: int) -> View:
    """Open a page for an amount and show every way to pay it."""
    try:
        async with ctx.database.transaction() as session:
            checkout = await topups.want(
                session, ctx.customer, amount, operation=ctx.operation, terms=ctx.terms, now=ctx.now
            )
            await awaiting.forget(session, ctx.customer.telegram_id)
    except OutOfRange as error:
        return views.out_of_range(error, ctx.terms.currency)
    checkout = await ctx.services.checkouts.open(checkout)
    return await _ways(ctx, checkout)


async def _ways(ctx: Context, checkout: Checkout) -> View:
    async with ctx.database.read() as session:
        offered = await topups.get(session, ctx.customer.id, checkout.payment_id or 0)
        mine = await cards.listed(session, ctx.customer.id)
    card = next((card for card in mine if cards.is_chargeable(card, ctx.now)), None)
    return views.ways(offered, checkout.url, card, stars.price(offered.amount, ctx.terms), ctx.terms.currency)


async def _by_card(ctx: Context, press: TopupByCard) -> View:
    """Charge a saved card; tapped twice it is charged once."""
    paid = await ctx.services.cashier.top_up_by_card(ctx.customer.id, press.payment_id, press.card_id)
    ctx.services.wake("money")
    ctx.services.wake("messages")
    async with ctx.database.read() as session:
        card = await session.get(Card, paid.card_id) if paid.card_id else None
    return await _outcome(ctx, paid, cards.label(card) if card else "")


async def _outcome(ctx: Context, paid: Payment, card: str) -> View:
    currency = ctx.terms.currency
    match paid.status:
        case PaymentStatus.SUCCEEDED:
            async with ctx.database.read() as session:
                have = await ledger.balances(session, ctx.customer.id)
            return views.charged(paid.amount, have.balance, currency)
        case PaymentStatus.ACTION:
            return payment_views.waiting(paid, paid.action_url, currency)
    return payment_views.unsettled(paid, card, currency, views.again(paid.id))


# --- stars


async def _by_stars(ctx: Context, press: TopupByStars) -> View:
    async with ctx.database.transaction() as session:
        offered = await topups.get(session, ctx.customer.id, press.payment_id)
        wanted = await stars.want(session, ctx.customer, offered, terms=ctx.terms, now=ctx.now)
    return views.stars_invoice(wanted, f"{_STARS}:{wanted.idempotency_key}", ctx.terms.currency)


async def _may_pay(ctx: Context, query: PreCheckoutQuery) -> View | None:
    """Let a payment through that stands in a row of ours, is this customer's, and has the price that it had."""
    try:
        async with ctx.database.transaction() as session:
            await stars.let_through(session, ctx.customer, _key(query.invoice_payload), query.total_amount, now=ctx.now)
    except (NotFound, Conflict):
        return views.stars_gone()
    return None


async def _paid(ctx: Context, paid: SuccessfulPayment) -> View | None:
    """Credit what came; that it is there is told by a notice, once."""
    receipt = Receipt(_key(paid.invoice_payload), paid.telegram_payment_charge_id, paid.total_amount)
    async with ctx.database.transaction() as session:
        credited = await stars.credit(session, ctx.customer, receipt, terms=ctx.terms, now=ctx.now)
    ctx.services.wake("money")
    ctx.services.wake("messages")
    return views.stars_unclaimed() if credited is None else None


async def _given_back(ctx: Context, back: RefundedPayment) -> None:
    """Take off the balance what the chat gave back without us; what we gave back is known already."""
    async with ctx.database.transaction() as session:
        await stars.taken_back(session, ctx.customer, back.telegram_payment_charge_id, terms=ctx.terms, now=ctx.now)
    ctx.services.wake("messages")


def _key(payload: str) -> str:
    return payload.partition(":")[2]

"""`/voucher`, `/apply`, and the deep link `v_CODE`: redeem a voucher, or ask for one (A3, A4, B1)."""

from billing import ledger, topups, voucher_requests, vouchers
from billing.errors import Conflict, OutOfRange
from billing.voucher_requests import TooManyRequests
from bot import awaiting
from bot.context import Context
from bot.guards import everyone
from bot.links import Apply, EnterVoucher
from bot.router import Answer, Route, answer, command, press, start
from bot.view import View
from bot.views import vouchers as views
from bot.views.vouchers import ApplyFor

_CODE, _AMOUNT, _REASON = "voucher", "apply_amount", "apply_reason"


def handlers() -> tuple[Route, ...]:
    """Return what this feature answers to."""
    return (
        command("voucher", _voucher, everyone),
        start("v", _voucher, everyone),
        press(EnterVoucher, _enter, everyone),
        answer(_CODE, _typed, everyone),
        command("apply", _apply, everyone),
        press(Apply, _ask_amount, everyone),
        press(ApplyFor, _amount_chosen, everyone),
        answer(_AMOUNT, _amount_typed, everyone),
        answer(_REASON, _reason_typed, everyone),
    )


# --- redeeming


async def _voucher(ctx: Context, text: str) -> View:
    if not text:
        return await _enter(ctx, EnterVoucher())
    async with ctx.database.transaction() as session:
        redemption = await vouchers.redeem(session, ctx.customer, text, now=ctx.now)
        have = await ledger.balances(session, ctx.customer.id)
        await awaiting.forget(session, ctx.customer.telegram_id)
    ctx.services.wake("money")
    return views.answer(redemption, have.voucher, ctx.terms.currency)


async def _enter(ctx: Context, _: EnterVoucher) -> View:
    async with ctx.database.transaction() as session:
        await awaiting.ask(session, ctx, _CODE)
    return views.ask_code()


async def _typed(ctx: Context, given: Answer) -> View:
    return await _voucher(ctx, given.text)


# --- asking for one


async def _apply(ctx: Context, text: str) -> View:
    amount, _, reason = text.partition(" ")
    if not amount:
        return await _ask_amount(ctx, Apply())
    return await _request(ctx, ctx.terms.currency.parse(amount), reason.strip())


async def _ask_amount(ctx: Context, _: Apply) -> View:
    async with ctx.database.transaction() as session:
        await awaiting.ask(session, ctx, _AMOUNT)
    return views.ask_amount(topups.suggestions(ctx.terms), ctx.terms.currency)


async def _amount_chosen(ctx: Context, press: ApplyFor) -> View:
    offered = topups.suggestions(ctx.terms)
    if not 0 <= press.choice < len(offered):
        raise Conflict("other amounts are offered now")
    return await _request(ctx, offered[press.choice], "")


async def _amount_typed(ctx: Context, given: Answer) -> View:
    return await _request(ctx, ctx.terms.currency.parse(given.text), "")


async def _reason_typed(ctx: Context, given: Answer) -> View:
    return await _request(ctx, int(given.data["amount"]), given.text)


async def _request(ctx: Context, amount: int, reason: str) -> View:
    if not reason:
        async with ctx.database.transaction() as session:
            await awaiting.ask(session, ctx, _REASON, {"amount": amount})
        return views.ask_reason(amount, ctx.terms.currency)
    try:
        async with ctx.database.transaction() as session:
            request = await voucher_requests.ask(
                session,
                ctx.customer,
                amount=amount,
                reason=reason,
                operation=ctx.operation,
                terms=ctx.terms,
                now=ctx.now,
            )
            await awaiting.forget(session, ctx.customer.telegram_id)
    except TooManyRequests as error:
        return views.too_many(error.pending)
    except OutOfRange as error:
        return views.too_much(error.most, ctx.terms.currency)
    ctx.services.wake("messages")
    return views.requested(request, ctx.terms.currency)

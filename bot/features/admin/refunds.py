"""`/refund`, `/writeoff`: what it would do first, then one tap (rules.md 10.3, 10.4)."""

from typing import Any

from billing import accounts, credit_notes
from billing.credit_notes import Credit
from billing.errors import Conflict, NotFound, OutOfRange
from billing.models import Invoice
from bot import awaiting
from bot.context import Context
from bot.guards import administrators
from bot.router import Route, command, press
from bot.view import View
from bot.views import admin_refunds as views
from bot.views.admin_refunds import Draft, Refund, WriteOff

_REFUND, _WRITE_OFF = "refund", "write_off"
_REASON = "Refund"
_REASON_MOST = 200


def handlers() -> tuple[Route, ...]:
    """Return what this feature answers to."""
    return (
        command("refund", _refund, administrators),
        press(Refund, _do_refund, administrators),
        command("writeoff", _write_off, administrators),
        press(WriteOff, _do_write_off, administrators),
    )


async def _refund(ctx: Context, text: str) -> View:
    number, _, amount = text.partition(" ")
    if not number:
        return views.usage()
    wanted = ctx.terms.currency.parse(amount) if amount.strip() else None
    try:
        invoice = await _find(ctx, number)
    except NotFound:
        return views.unknown(number)
    # A page or a bank's question that waits for the customer would stand in the way.
    await ctx.services.cashier.cancel_waiting(invoice.customer_id, (invoice.id,))
    async with ctx.database.transaction() as session:
        customer = await accounts.lock(session, invoice.customer_id)
        invoice = await credit_notes.find(session, number)
        total = wanted or await credit_notes.most(session, invoice)
        try:
            plan = await credit_notes.plan(session, invoice, total, ctx.terms.currency)
        except OutOfRange as error:
            return views.too_much(error, invoice, ctx.terms.currency)
        except Conflict:
            return views.busy(invoice)
        kept = {"draft": ctx.update_id, "invoice": invoice.id, "total": total, "digest": plan.digest}
        # The amount waits here and not in the button: a button never carries money.
        await awaiting.ask(session, ctx, _REFUND, kept)
        back = await credit_notes.described(session, plan.back)
    return views.effect(Draft(invoice, customer, plan, back, ctx.update_id), ctx.terms.currency)


async def _do_refund(ctx: Context, press: Refund) -> View:
    operation = f"refund:{press.draft}"
    async with ctx.database.transaction() as session:
        note = await credit_notes.by_operation(session, operation)
        if note is None:
            kept = _kept(ctx, _REFUND, press.draft)
            invoice = await session.get_one(Invoice, kept["invoice"])
            customer = await accounts.lock(session, invoice.customer_id)
            credit = Credit(operation, kept["total"], _REASON, ctx.customer.telegram_id, kept["digest"])
            note = await credit_notes.issue(
                session, customer, invoice.id, credit, currency=ctx.terms.currency, now=ctx.now
            )
            await awaiting.forget(session, ctx.customer.telegram_id)
    ctx.services.wake("money")
    ctx.services.wake("messages")
    return views.done(note.number, note.total, note.invoice_id, ctx.terms.currency)


async def _write_off(ctx: Context, text: str) -> View:
    number, _, reason = text.partition(" ")
    if not reason.strip():
        return views.usage()
    try:
        invoice = await _find(ctx, number)
    except NotFound:
        return views.unknown(number)
    if invoice.due == invoice.disputed:
        return views.nothing_due(invoice)
    async with ctx.database.transaction() as session:
        customer = await accounts.get(session, invoice.customer_id)
        kept = {"draft": ctx.update_id, "invoice": invoice.id, "reason": reason.strip()[:_REASON_MOST]}
        await awaiting.ask(session, ctx, _WRITE_OFF, kept)
    return views.write_off(invoice, customer, ctx.update_id, ctx.terms.currency)


async def _do_write_off(ctx: Context, press: WriteOff) -> View:
    kept = _kept(ctx, _WRITE_OFF, press.draft)
    async with ctx.database.read() as reading:
        invoice = await reading.get_one(Invoice, kept["invoice"])
    await ctx.services.cashier.cancel_waiting(invoice.customer_id, (invoice.id,))
    async with ctx.database.transaction() as session:
        customer = await accounts.lock(session, invoice.customer_id)
        amount = await credit_notes.write_off(
            session,
            customer,
            invoice.id,
            reason=kept["reason"],
            actor=ctx.customer.telegram_id,
            operation=f"write_off:{press.draft}",
            now=ctx.now,
        )
    return views.written_off(invoice, amount, ctx.terms.currency)


def _kept(ctx: Context, what: str, draft: int) -> dict[str, Any]:
    """Return what was kept with a draft.

    Raises:
        Conflict: another one was begun since.
    """
    if ctx.awaiting is None or ctx.awaiting[0] != what or ctx.awaiting[1].get("draft") != draft:
        raise Conflict(f"{what} {draft} was drafted on an older screen")
    return ctx.awaiting[1]


async def _find(ctx: Context, number: str) -> Invoice:
    async with ctx.database.read() as session:
        return await credit_notes.find(session, number)

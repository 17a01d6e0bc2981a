"""`/allinvoices`: everybody's invoices, with filters, pages and a table (A7, C16)."""

import asyncio

from billing import accounts, all_invoices, invoices
from billing.clock import Month
from billing.errors import NotFound
from bot.admin_links import AllInvoices
from bot.callbacks import OldButton
from bot.context import Context
from bot.documents import invoice_pdf
from bot.guards import administrators
from bot.router import Route, command, press
from bot.view import View
from bot.views import admin_invoices as views
from bot.views.admin_invoices import MONTHS, MOST_ROWS, PAGE, AnyDocument, InvoicesFile, ShowAnyInvoice

_UNPAID = "unpaid"


def handlers() -> tuple[Route, ...]:
    """Return what this feature answers to."""
    return (
        command("allinvoices", _allinvoices, administrators),
        press(AllInvoices, _page, administrators),
        press(ShowAnyInvoice, _show, administrators),
        press(AnyDocument, _document, administrators),
        press(InvoicesFile, _file, administrators),
    )


async def _allinvoices(ctx: Context, text: str) -> View:
    of = _parse(text)
    if of is not None:
        return await _page(ctx, of)
    async with ctx.database.read() as session:
        try:
            invoice, _ = await all_invoices.by_number(session, text)
        except NotFound:
            return views.usage()
    return await _show(ctx, ShowAnyInvoice(invoice_id=invoice.id))


def _parse(text: str) -> AllInvoices | None:
    """Return the filter of `unpaid 2026-01`, in any order; `None` for other words."""
    words = text.lower().split()
    months = [word for word in words if word != _UNPAID]
    if len(months) > 1 or len(words) - len(months) > 1:
        return None
    try:
        number = Month.parse(months[0]).number if months else 0
    except ValueError:
        return None
    return AllInvoices(unpaid=_UNPAID in words, month=number)


async def _page(ctx: Context, press: AllInvoices) -> View:
    of = AllInvoices(press.unpaid, press.month, press.customer_id, max(press.page, 0))
    wanted = _filter(of)
    async with ctx.database.read() as session:
        rows = await all_invoices.page(session, wanted, offset=of.page * PAGE, limit=PAGE + 1)
        found = views.Found(
            of=of,
            rows=rows[:PAGE],
            more=len(rows) > PAGE,
            sums=await all_invoices.sums(session, wanted),
            months=await all_invoices.months(session, limit=MONTHS),
            customer=await accounts.get(session, of.customer_id) if of.customer_id else None,
        )
    return views.listing(found, ctx.terms.currency)


def _filter(of: AllInvoices | InvoicesFile) -> all_invoices.Filter:
    try:
        return views.filter_of(of)
    except ValueError as error:
        raise OldButton(of.pack()) from error


async def _show(ctx: Context, press: ShowAnyInvoice) -> View:
    async with ctx.database.read() as session:
        invoice, customer = await all_invoices.find(session, press.invoice_id)
        return views.one(await invoices.document(session, invoice), customer, ctx.terms.currency)


async def _document(ctx: Context, press: AnyDocument) -> View:
    async with ctx.database.read() as session:
        invoice, _ = await all_invoices.find(session, press.invoice_id)
        document = await invoices.document(session, invoice)
    content = await invoice_pdf(document, ctx.terms.currency)
    return views.pdf(document, content, ctx.terms.currency)


async def _file(ctx: Context, press: InvoicesFile) -> View:
    rows: list[all_invoices.Settled] = []
    async with ctx.database.read() as session:
        async for row in all_invoices.each(session, _filter(press)):
            if len(rows) == MOST_ROWS:
                break
            rows.append(row)
    content = await asyncio.to_thread(views.table, rows, ctx.terms.currency)
    return views.file(press, content, len(rows), cut=len(rows) == MOST_ROWS)

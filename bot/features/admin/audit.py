"""`/audit`: who did what, newest first (C10)."""

from billing import accounts, audit
from bot.admin_links import AuditLog
from bot.context import Context
from bot.guards import administrators
from bot.router import Route, command, press
from bot.view import View
from bot.views import admin_audit as views
from bot.views.admin_audit import PAGE


def handlers() -> tuple[Route, ...]:
    """Return what this feature answers to."""
    return (command("audit", _audit, administrators), press(AuditLog, _page, administrators))


async def _audit(ctx: Context, _: str) -> View:
    return await _page(ctx, AuditLog())


async def _page(ctx: Context, press: AuditLog) -> View:
    of = AuditLog(customer_id=press.customer_id, page=max(press.page, 0))
    async with ctx.database.read() as session:
        customer = await accounts.get(session, of.customer_id) if of.customer_id else None
        entries = await audit.page(session, customer_id=of.customer_id or None, offset=of.page * PAGE, limit=PAGE + 1)
        names = await audit.names(session, (entry.actor for entry, _ in entries if entry.actor is not None))
    return views.listing(
        entries[:PAGE], of, names=names, customer=customer, more=len(entries) > PAGE, currency=ctx.terms.currency
    )

"""`/deployments`: what everybody has, by state; deleting one (B7)."""

from billing import accounts
from bot import screens
from bot.admin_links import AllDeployments
from bot.context import Context
from bot.guards import administrators
from bot.router import Route, command, press
from bot.view import View
from bot.views import admin_deployments as views
from bot.views.admin_deployments import PAGE, STATES, AskDeleteAny, DeleteAny, RemovedByHand, ShowAny
from cloud import administration, deployments


def handlers() -> tuple[Route, ...]:
    """Return what this feature answers to."""
    return (
        command("deployments", _deployments, administrators),
        press(AllDeployments, _page, administrators),
        press(ShowAny, _show, administrators),
        press(AskDeleteAny, _ask_delete, administrators),
        press(DeleteAny, _delete, administrators),
        press(RemovedByHand, _removed, administrators),
    )


async def _deployments(ctx: Context, _: str) -> View:
    return await _page(ctx, AllDeployments())


async def _page(ctx: Context, press: AllDeployments) -> View:
    of = AllDeployments(which=press.which, customer_id=press.customer_id, page=max(press.page, 0))
    async with ctx.database.read() as session:
        customer = await accounts.get(session, of.customer_id) if of.customer_id else None
        rows = await deployments.page(
            session,
            states=STATES[of.which],
            customer_id=of.customer_id or None,
            offset=of.page * PAGE,
            limit=PAGE + 1,
        )
        counts = await deployments.counts(session)
    return views.listing(views.Found(of, rows[:PAGE], len(rows) > PAGE, counts, customer))


async def _show(ctx: Context, press: ShowAny) -> View:
    async with ctx.database.read() as session:
        row = await deployments.find(session, press.deployment_id)
        customer = await accounts.get(session, row.customer_id)
        shown = await screens.describe(session, row, now=ctx.now, terms=ctx.terms, real=ctx.services.real)
    return views.one(shown, customer, ctx.terms.currency)


async def _ask_delete(ctx: Context, press: AskDeleteAny) -> View:
    async with ctx.database.read() as session:
        row = await deployments.find(session, press.deployment_id)
        return views.ask_delete(row, await accounts.get(session, row.customer_id))


async def _delete(ctx: Context, press: DeleteAny) -> View:
    async with ctx.database.transaction() as session:
        await administration.delete(session, press.deployment_id, actor=ctx.customer.telegram_id, now=ctx.now)
    ctx.services.wake("machines")
    return await _show(ctx, ShowAny(deployment_id=press.deployment_id))


async def _removed(ctx: Context, press: RemovedByHand) -> View:
    async with ctx.database.transaction() as session:
        await administration.removed_by_hand(session, press.deployment_id, actor=ctx.customer.telegram_id, now=ctx.now)
    return await _show(ctx, ShowAny(deployment_id=press.deployment_id))

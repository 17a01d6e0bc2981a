"""`/admin`, `/maintenance`: what matters now, and messages that cannot be delivered."""

from billing import messages, statistics
from bot import switches
from bot.admin_links import Maintenance, Panel, Parked
from bot.context import Context
from bot.guards import administrators
from bot.router import Route, command, press
from bot.view import View
from bot.views import admin_panel as views
from bot.views.admin_panel import DropParked, RetryParked, SetMaintenance
from cloud import deployments, sold_out

_PARKED = 10


def handlers() -> tuple[Route, ...]:
    """Return what this feature answers to."""
    return (
        command("admin", _admin, administrators),
        press(Panel, _panel, administrators),
        command("maintenance", _maintenance, administrators),
        press(Maintenance, _show_maintenance, administrators),
        press(SetMaintenance, _switch, administrators),
        press(Parked, _parked, administrators),
        press(RetryParked, _retry, administrators),
        press(DropParked, _drop, administrators),
    )


async def _admin(ctx: Context, _: str) -> View:
    async with ctx.database.read() as session:
        data = views.PanelData(
            figures=await statistics.now(session),
            states=await deployments.counts(session),
            maintenance=await switches.maintenance(session),
            gone=await sold_out.lately(session, ctx.now),
        )
    return views.panel(data, ctx.terms.currency)


async def _panel(ctx: Context, _: Panel) -> View:
    return await _admin(ctx, "")


# --- maintenance


async def _maintenance(ctx: Context, text: str) -> View:
    match text.strip().lower():
        case "on":
            return await _switch(ctx, SetMaintenance(on=True))
        case "off":
            return await _switch(ctx, SetMaintenance(on=False))
    async with ctx.database.read() as session:
        return views.maintenance(on=await switches.maintenance(session), usage=bool(text.strip()))


async def _show_maintenance(ctx: Context, _: Maintenance) -> View:
    return await _maintenance(ctx, "")


async def _switch(ctx: Context, press: SetMaintenance) -> View:
    async with ctx.database.transaction() as session:
        await switches.set_maintenance(session, on=press.on, actor=ctx.customer.telegram_id, now=ctx.now)
    ctx.services.wake("money")
    return views.maintenance(on=press.on)


# --- messages that cannot be delivered


async def _parked(ctx: Context, _: Parked) -> View:
    async with ctx.database.read() as session:
        return views.parked(await messages.parked(session, limit=_PARKED), await messages.count_parked(session))


async def _retry(ctx: Context, press: RetryParked) -> View:
    async with ctx.database.transaction() as session:
        count = await messages.try_again(session, up_to=press.up_to, actor=ctx.customer.telegram_id, now=ctx.now)
    ctx.services.wake("messages")
    return (await _parked(ctx, Parked())).with_toast(views.tried_again(count))


async def _drop(ctx: Context, press: DropParked) -> View:
    async with ctx.database.transaction() as session:
        count = await messages.give_up(session, up_to=press.up_to, actor=ctx.customer.telegram_id, now=ctx.now)
    return (await _parked(ctx, Parked())).with_toast(views.dropped(count))

"""`/vms`, `/k8s`, `/delete`, `/deleteall`: what a person has, and what can be done with it (B4, B5, C17)."""

from billing import quotes
from billing.catalog import Item
from billing.models import Kind
from billing.quotes import Order
from bot import orders, screens
from bot.context import Context
from bot.guards import everyone
from bot.links import Clusters, Machines, ShowDeployment
from bot.router import Route, command, press
from bot.view import View
from bot.views import machines as views
from bot.views.machines import AskDelete, DeleteAllNow, DeleteNow, Kubeconfig, OrderAgain, Reboot, SetPower
from cloud import deployments, offering
from cloud.models import State


def handlers() -> tuple[Route, ...]:
    """Return what this feature answers to."""
    return (
        command("vms", _vms, everyone),
        command("k8s", _k8s, everyone),
        command("delete", _delete_named, everyone),
        command("deleteall", _ask_delete_all, everyone),
        press(Machines, _machines, everyone),
        press(Clusters, _clusters, everyone),
        press(ShowDeployment, _show, everyone),
        press(AskDelete, _ask_delete, everyone),
        press(DeleteNow, _delete, everyone),
        press(DeleteAllNow, _delete_all, everyone),
        press(SetPower, _power, everyone),
        press(Reboot, _reboot, everyone),
        press(OrderAgain, _again, everyone),
        press(Kubeconfig, _kubeconfig, everyone),
    )


async def _list(ctx: Context, kind: Kind, page: int = 0) -> View:
    async with ctx.database.read() as session:
        mine = await deployments.listed(session, ctx.customer, kind)
        number = min(max(page, 0), max(len(mine) - 1, 0) // views.PAGE)
        page_of = mine[number * views.PAGE : (number + 1) * views.PAGE]
        shown = await screens.describe_all(session, page_of, now=ctx.now, terms=ctx.terms, real=ctx.services.real)
    return views.listing(kind, shown, number, ctx.terms.currency, more=len(mine) > (number + 1) * views.PAGE)


async def _vms(ctx: Context, _: str) -> View:
    return await _list(ctx, Kind.VM)


async def _k8s(ctx: Context, _: str) -> View:
    return await _list(ctx, Kind.K8S)


async def _machines(ctx: Context, press: Machines) -> View:
    return await _list(ctx, Kind.VM, press.page)


async def _clusters(ctx: Context, press: Clusters) -> View:
    return await _list(ctx, Kind.K8S, press.page)


async def _show(ctx: Context, press: ShowDeployment) -> View:
    view = await screens.deployment(ctx, press.deployment_id)
    if ctx.message is not None:
        # This message now follows what happens to the machine.
        async with ctx.database.transaction() as session:
            await deployments.show_in(session, ctx.customer, press.deployment_id, ctx.message.message_id)
    return view


async def _kubeconfig(ctx: Context, press: Kubeconfig) -> View:
    view = await screens.deployment(ctx, press.deployment_id)
    async with ctx.database.read() as session:
        row = await deployments.get(session, ctx.customer, press.deployment_id)
    return views.with_kubeconfig(view, row)


async def _delete_named(ctx: Context, text: str) -> View:
    name = text.strip().lower()
    if not name:
        async with ctx.database.read() as session:
            listed = await deployments.listed(session, ctx.customer)
        mine = [row for row in listed if row.state is not State.DELETING]
        return views.ask_which(mine) if mine else views.nothing_to_delete()
    async with ctx.database.read() as session:
        found = await deployments.named(session, ctx.customer, name)
    if not found:
        return views.not_found(name)
    return views.ask_delete(found[0]) if len(found) == 1 else views.which(found)


async def _ask_delete(ctx: Context, press: AskDelete) -> View:
    async with ctx.database.read() as session:
        return views.ask_delete(await deployments.get(session, ctx.customer, press.deployment_id))


async def _delete(ctx: Context, press: DeleteNow) -> View:
    async with ctx.database.transaction() as session:
        row = await deployments.delete(session, ctx.customer, press.deployment_id, now=ctx.now)
        if ctx.message is not None:
            await deployments.show_in(session, ctx.customer, row.id, ctx.message.message_id)
    ctx.services.wake("machines")
    return await screens.deployment(ctx, press.deployment_id)


async def _ask_delete_all(ctx: Context, _: str) -> View:
    async with ctx.database.read() as session:
        mine = await deployments.listed(session, ctx.customer)
    return views.ask_delete_all(mine) if mine else views.nothing_to_delete()


async def _delete_all(ctx: Context, _: DeleteAllNow) -> View:
    async with ctx.database.transaction() as session:
        gone = await deployments.delete_all(session, ctx.customer, now=ctx.now)
    ctx.services.wake("machines")
    return views.deleted_all(len(gone)) if gone else views.nothing_to_delete()


async def _power(ctx: Context, press: SetPower) -> View:
    async with ctx.database.transaction() as session:
        await deployments.set_power(session, ctx.customer, press.deployment_id, press.wish, now=ctx.now)
    ctx.services.wake("machines")
    return (await screens.deployment(ctx, press.deployment_id)).with_toast(views.power_asked(press.wish))


async def _reboot(ctx: Context, press: Reboot) -> View:
    async with ctx.database.transaction() as session:
        await deployments.reboot(session, ctx.customer, press.deployment_id, now=ctx.now)
    ctx.services.wake("machines")
    return (await screens.deployment(ctx, press.deployment_id)).with_toast(views.reboot_asked())


async def _again(ctx: Context, press: OrderAgain) -> View:
    """Quote the order of a failed deployment afresh, at the prices of now."""
    async with ctx.database.transaction() as session:
        row = await deployments.get(session, ctx.customer, press.deployment_id)
        order = Order(Item(row.kind, row.size, row.public), row.name, row.workers)
        offering.check(ctx.services.able, order.item)
        quote = await quotes.offer(session, ctx.customer, order, ctx.now)
    return await orders.offer(ctx, quote)

"""`/deploy`: the order, step by step or in one line; one confirmation with the price (B2, C2)."""

from datetime import timedelta

from billing import catalog, outbox, quotes
from billing.catalog import Item
from billing.models import Kind
from billing.quotes import Order
from bot import awaiting, orders, screens
from bot.context import Context
from bot.guards import everyone
from bot.links import Deploy, ShowQuote
from bot.router import Answer, Route, answer, command, press
from bot.view import View
from bot.views import deploy as views
from bot.views.deploy import ChooseAddress, ChooseKind, ChooseSize, ChooseWorkers, Confirm, Discard, UseName
from cloud import deployments, names, offering, sold_out
from cloud.deployments import Confirmed, Lapsed, NameTaken, NotNow
from cloud.names import BadName

_NAME = "name"
_PUBLIC = "public"


def handlers() -> tuple[Route, ...]:
    """Return what this feature answers to."""
    return (
        command("deploy", _deploy, everyone),
        press(Deploy, _kinds, everyone),
        press(ChooseKind, _sizes, everyone),
        press(ChooseSize, _addresses, everyone),
        press(ChooseAddress, _after_address, everyone),
        press(ChooseWorkers, _after_workers, everyone),
        press(UseName, _use_name, everyone),
        answer(_NAME, _name_typed, everyone),
        press(ShowQuote, _show, everyone),
        press(Confirm, _confirm, everyone),
        press(Discard, _discard, everyone),
    )


async def _deploy(ctx: Context, text: str) -> View:
    if not text:
        return views.kinds(clusters=ctx.services.able.clusters)
    order = parse_order(text)
    return views.usage() if order is None else await _order(ctx, order)


def parse_order(text: str) -> Order | None:
    """Return the order of `vm small web-1 public` or `k8s medium lab 3 public`, `None` if it has another form."""
    words = text.split()
    public = len(words) > 3 and words[-1].lower() == _PUBLIC  # noqa: PLR2004 kind, size and name come first
    words = words[:-1] if public else words
    match [word.lower() for word in words]:
        case ["vm", size, _]:
            return _order_of(Kind.VM, size, words[2], 0, public=public)
        case ["k8s", size, _, workers] if workers.isascii() and workers.isdecimal():
            return _order_of(Kind.K8S, size, words[2], int(workers[:4]), public=public)
    return None


def _order_of(kind: Kind, size: str, name: str, workers: int, *, public: bool) -> Order | None:
    item = Item(kind, size, public)
    order = Order(item, name, workers)
    return order if item in catalog.ITEMS and order.possible else None


async def _kinds(ctx: Context, _: Deploy) -> View:
    return views.kinds(clusters=ctx.services.able.clusters)


async def _sizes(ctx: Context, press: ChooseKind) -> View:
    offering.check(ctx.services.able, Item(press.kind, catalog.SIZES[0]))
    async with ctx.database.read() as session:
        listed, gone = await catalog.price_list(session, ctx.now), await sold_out.lately(session, ctx.now)
    return views.sizes(press.kind, listed, ctx.terms.currency, gone)


async def _addresses(ctx: Context, press: ChooseSize) -> View:
    offering.check(ctx.services.able, Item.parse(Item(press.kind, press.size).code))
    async with ctx.database.read() as session:
        listed = offering.only(ctx.services.able, await catalog.price_list(session, ctx.now))
    return views.addresses(press.kind, press.size, listed, ctx.terms.currency)


async def _after_address(ctx: Context, press: ChooseAddress) -> View:
    offering.check(ctx.services.able, Item(press.kind, press.size, press.public))
    if press.kind is Kind.K8S:
        return views.workers(press.size, public=press.public)
    return await _ask_name(ctx, Item(press.kind, press.size, press.public), 0)


async def _after_workers(ctx: Context, press: ChooseWorkers) -> View:
    return await _ask_name(ctx, Item(Kind.K8S, press.size, press.public), press.workers)


async def _ask_name(ctx: Context, item: Item, workers: int, *, like: str = "", problem: str = "") -> View:
    async with ctx.database.transaction() as session:
        suggestion = await names.suggest(session, ctx.customer, item.kind, like)
        await awaiting.ask(session, ctx, _NAME, {"item": item.code, "workers": workers})
    return views.ask_name(item, workers, suggestion, problem)


async def _name_typed(ctx: Context, given: Answer) -> View:
    item, workers = Item.parse(given.data["item"]), int(given.data["workers"])
    return await _order(ctx, Order(item, given.text, workers))


async def _use_name(ctx: Context, press: UseName) -> View:
    return await _order(ctx, Order(Item(press.kind, press.size, press.public), press.name, press.workers))


async def _order(ctx: Context, order: Order) -> View:
    """Check the name, quote, and show the offer or what stands in its way."""
    offering.check(ctx.services.able, order.item)
    try:
        name = names.check(order.name)
    except BadName as error:
        problem = views.bad_name(error)
        return await _ask_name(ctx, order.item, order.workers, like=error.suggestion, problem=problem)
    async with ctx.database.transaction() as session:
        taken = await names.is_taken(session, ctx.customer, order.item.kind, name)
        if not taken:
            quote = await quotes.offer(session, ctx.customer, Order(order.item, name, order.workers), ctx.now)
            await awaiting.forget(session, ctx.customer.telegram_id)
    if taken:
        return await _ask_name(ctx, order.item, order.workers, like=name, problem=views.taken(name))
    return await orders.offer(ctx, quote)


async def _show(ctx: Context, press: ShowQuote) -> View:
    """Show an order that was made before; of one that was confirmed, what became of it."""
    async with ctx.database.read() as session:
        confirmed = (await quotes.get(session, ctx.customer, press.quote_id)).confirmed_at is not None
    return await (_confirm(ctx, Confirm(quote_id=press.quote_id)) if confirmed else orders.show(ctx, press.quote_id))


async def _confirm(ctx: Context, press: Confirm) -> View:
    """Deploy what was offered; tapped twice it is one deployment, shown twice."""
    async with ctx.database.transaction() as session:
        outcome = await deployments.confirm(
            session,
            ctx.customer,
            press.quote_id,
            now=ctx.now,
            terms=ctx.terms,
            maintenance=await orders.closed(session, ctx),
            within=timedelta(minutes=ctx.services.settings.provision_minutes),
            able=ctx.services.able,
        )
        if isinstance(outcome, Confirmed) and ctx.message is not None:
            await deployments.show_in(session, ctx.customer, outcome.deployment.id, ctx.message.message_id)
        if isinstance(outcome, Confirmed) and ctx.services.mailer is not None and not ctx.customer.email:
            # Asked once, with the first order, and never in its way.
            await outbox.tell(
                session, ctx.customer, "email_wanted", {}, now=ctx.now, dedup=f"customer:{ctx.customer.id}:email"
            )
    ctx.services.wake("machines")
    match outcome:
        case Confirmed(deployment=deployment):
            return await screens.deployment(ctx, deployment.id)
        case Lapsed(fresh=fresh, monthly_before=before):
            return await orders.offer(ctx, fresh, before)
        case NotNow(quote=quote, verdict=verdict):
            return views.refused(quote, verdict, ctx.terms)
        case NameTaken(quote=quote, suggestion=suggestion):
            item = quotes.order_of(quote).item
            return await _ask_name(ctx, item, quote.workers, like=suggestion, problem=views.taken(quote.name))


async def _discard(ctx: Context, press: Discard) -> View:
    async with ctx.database.transaction() as session:
        await quotes.forget(session, await quotes.get(session, ctx.customer, press.quote_id))
    return views.discarded()

"""`/settings` and `/sshkey`: what a person has set, and their SSH keys (B2)."""

from billing import contacts
from billing.errors import BillingError
from bot import awaiting, orders
from bot.context import Context
from bot.guards import everyone
from bot.links import AddKey, Keys, Settings
from bot.router import Answer, Route, answer, command, press
from bot.view import View
from bot.views import settings as views
from bot.views.settings import RemoveKey, SettingsData
from cloud import key_ring
from cloud.key_ring import MAX_KEYS, TooManyKeys
from cloud.ssh_keys import BadKey

_KEY = "sshkey"


def handlers() -> tuple[Route, ...]:
    """Return what this feature answers to."""
    return (
        command("settings", _settings, everyone),
        command("sshkey", _sshkey, everyone),
        press(Settings, _tapped, everyone),
        press(Keys, _keys, everyone),
        press(AddKey, _ask, everyone),
        press(RemoveKey, _remove, everyone),
        answer(_KEY, _typed, everyone),
    )


async def _settings(ctx: Context, _: str) -> View:
    customer = ctx.customer
    async with ctx.database.read() as session:
        data = SettingsData(
            keys=len(await key_ring.listed(session, customer)),
            email=customer.email or "",
            email_waiting=await contacts.waiting_email(session, customer, now=ctx.now),
            billing_name=customer.billing_name,
            budget=customer.budget,
            language=customer.language,
        )
    return views.settings(data, ctx.terms.currency)


async def _tapped(ctx: Context, _: Settings) -> View:
    return await _settings(ctx, "")


async def _keys(ctx: Context, _: Keys) -> View:
    async with ctx.database.read() as session:
        return views.keys(await key_ring.listed(session, ctx.customer))


async def _sshkey(ctx: Context, text: str) -> View:
    return await _add(ctx, text, {}) if text else await _ask(ctx, AddKey())


async def _ask(ctx: Context, press: AddKey) -> View:
    async with ctx.database.transaction() as session:
        await awaiting.ask(session, ctx, _KEY, {"quote_id": press.quote_id})
    return views.ask_key()


async def _typed(ctx: Context, given: Answer) -> View:
    return await _add(ctx, given.text, given.data)


async def _add(ctx: Context, text: str, data: dict[str, int]) -> View:
    try:
        async with ctx.database.transaction() as session:
            key = await key_ring.add(session, ctx.customer, text, now=ctx.now)
            await awaiting.forget(session, ctx.customer.telegram_id)
    except BadKey as error:
        async with ctx.database.transaction() as session:
            await awaiting.ask(session, ctx, _KEY, data)
        return views.ask_key(views.key_problem(error))
    except TooManyKeys:
        return views.too_many_keys(MAX_KEYS)
    quote_id = data.get("quote_id", 0)
    return views.key_added(key.fingerprint, await _order(ctx, quote_id) if quote_id else None)


async def _order(ctx: Context, quote_id: int) -> View | None:
    """Return the order that waited for a key, unless it is gone by now."""
    try:
        return await orders.show(ctx, quote_id)
    except BillingError:
        return None


async def _remove(ctx: Context, press: RemoveKey) -> View:
    async with ctx.database.transaction() as session:
        await key_ring.remove(session, ctx.customer, press.key_id)
        return views.keys(await key_ring.listed(session, ctx.customer))

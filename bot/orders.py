"""Orders as several features show them: one tap from done, or what stands in their way (C2)."""

from sqlalchemy.ext.asyncio import AsyncSession

from billing import facts, quotes
from billing.models import Quote
from bot import switches
from bot.context import Context
from bot.view import View
from bot.views import deploy as views
from cloud import key_ring, offering, sold_out


async def show(ctx: Context, quote_id: int) -> View:
    """Show an order that was made before and not confirmed, with a fresh price if the old one has run out.

    Raises:
        NotFound: there is none with this id, or it is another's.
        NotOffered: the cloud does not make such things any more.
    """
    async with ctx.database.transaction() as session:
        quote = await quotes.get(session, ctx.customer, quote_id)
        before = quote.monthly
        offering.check(ctx.services.able, quotes.order_of(quote).item)
        if not quotes.is_valid(quote, ctx.now):
            quote = await quotes.requote(session, ctx.customer, quote, ctx.now)
    return await offer(ctx, quote, before)


async def offer(ctx: Context, quote: Quote, before: int | None = None) -> View:
    """Show an order that can go through, or keep it and say what stands in its way."""
    async with ctx.database.transaction() as session:
        quote = await quotes.get(session, ctx.customer, quote.id)
        verdict = await facts.judge(
            session,
            ctx.customer,
            quote,
            now=ctx.now,
            terms=ctx.terms,
            maintenance=await closed(session, ctx),
            has_ssh_key=await key_ring.has_key(session, ctx.customer),
        )
        if verdict.allowed:
            return views.offer(quote, ctx.terms, before=before, gone=await sold_out.lately(session, ctx.now))
        await quotes.keep(session, quote, ctx.now)
    return views.refused(quote, verdict, ctx.terms)


async def closed(session: AsyncSession, ctx: Context) -> bool:
    """Return whether nothing is sold to this person now; administrators work on."""
    return not ctx.is_admin and await switches.maintenance(session)

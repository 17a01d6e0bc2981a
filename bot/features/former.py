"""The deep link `i_CODE`: a user of the former system finds here what they had there (A15)."""

from billing import cards
from billing.contacts import DeadLink
from bot.context import Context
from bot.guards import everyone
from bot.invitations import LINK
from bot.router import Route, start
from bot.view import View
from bot.views import former as views
from cloud import former


def handlers() -> tuple[Route, ...]:
    """Return what this feature answers to."""
    return (start(LINK, _come, everyone),)


async def _come(ctx: Context, code: str) -> View:
    try:
        async with ctx.database.transaction() as session:
            found = await former.arrive(session, ctx.customer, code, now=ctx.now, terms=ctx.terms)
            has_card = await cards.has_valid(session, ctx.customer.id, now=ctx.now)
    except DeadLink:
        return views.dead_link()
    ctx.services.wake("money")
    ctx.services.wake("messages")
    return views.arrived(found, ctx.terms, has_card=has_card)

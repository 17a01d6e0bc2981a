"""`/users`, `/user`, `/block`, `/unblock`, `/limit`, `/credit`: customers, and what administrators do to them (B7)."""

import re

from sqlalchemy.ext.asyncio import AsyncSession

from billing import accounts, audit, cards, corrections, invoices, ledger, messages, outbox
from billing.corrections import LONGEST_REASON
from billing.errors import NotFound
from billing.models import Customer
from bot import awaiting
from bot.admin_links import ShowCustomer, Users
from bot.context import Context
from bot.errors import Problem
from bot.guards import administrators, is_administrator
from bot.router import Answer, Route, answer, command, press
from bot.view import View
from bot.views import admin_customers as views
from bot.views import admin_words
from bot.views.admin_customers import (
    PAGE,
    AskCredit,
    AskDeleteAllOf,
    AskLimit,
    AskMessage,
    CardsOf,
    DeleteAllOf,
    NoticesOf,
    SearchUsers,
    SetBlocked,
)
from cloud import administration, deployments
from cloud.models import ACTIVE, State

_SEARCH, _LIMIT, _CREDIT, _MESSAGE = "search_users", "limit", "credit", "message"
_LONGEST_MESSAGE = 3000
_ZERO = re.compile(r"0+(?:[.,]0*)?", re.ASCII)
"""No credit at all: the one amount that is none elsewhere."""


def handlers() -> tuple[Route, ...]:
    """Return what this feature answers to."""
    return (
        command("users", _users, administrators),
        press(Users, _page, administrators),
        press(SearchUsers, _ask_search, administrators),
        answer(_SEARCH, _search_typed, administrators),
        command("user", _user, administrators),
        press(ShowCustomer, _show, administrators),
        command("block", _block, administrators),
        command("unblock", _unblock, administrators),
        press(SetBlocked, _set_blocked, administrators),
        command("limit", _limit, administrators),
        press(AskLimit, _ask_limit, administrators),
        answer(_LIMIT, _limit_typed, administrators),
        command("credit", _credit, administrators),
        press(AskCredit, _ask_credit, administrators),
        answer(_CREDIT, _credit_typed, administrators),
        press(AskMessage, _ask_message, administrators),
        answer(_MESSAGE, _message_typed, administrators),
        press(AskDeleteAllOf, _ask_delete_all, administrators),
        press(DeleteAllOf, _delete_all, administrators),
        press(CardsOf, _cards, administrators),
        press(NoticesOf, _notices, administrators),
    )


# --- finding


async def _users(ctx: Context, text: str) -> View:
    return await _page(ctx, Users.of(text))


async def _page(ctx: Context, press: Users) -> View:
    page = Users(text=press.text, page=max(press.page, 0))
    async with ctx.database.read() as session:
        found = await accounts.search(session, page.text, offset=page.page * PAGE, limit=PAGE + 1)
    return views.listing(found[:PAGE], page, more=len(found) > PAGE)


async def _ask_search(ctx: Context, _: SearchUsers) -> View:
    async with ctx.database.transaction() as session:
        await awaiting.ask(session, ctx, _SEARCH)
    return views.ask_search()


async def _search_typed(ctx: Context, given: Answer) -> View:
    async with ctx.database.transaction() as session:
        await awaiting.forget(session, ctx.customer.telegram_id)
    return await _users(ctx, given.text)


async def _find(ctx: Context, text: str, example: str) -> Customer:
    """Return the customer that the first word of a command names.

    Raises:
        Problem: no word, or nobody has this number or name.
    """
    if not text:
        raise Problem(admin_words.whom(example))
    async with ctx.database.read() as session:
        try:
            return await accounts.find(session, text.split(maxsplit=1)[0])
        except NotFound as error:
            raise Problem(admin_words.no_customer(str(error.key))) from error


async def _user(ctx: Context, text: str) -> View:
    customer = await _find(ctx, text, "/user 123456")
    return await _show(ctx, ShowCustomer(customer_id=customer.id))


async def _show(ctx: Context, press: ShowCustomer) -> View:
    if ctx.awaiting is not None:
        # The page is also the way out of a question about this customer.
        async with ctx.database.transaction() as session:
            await awaiting.forget(session, ctx.customer.telegram_id)
    return views.one(await _load(ctx, press.customer_id), ctx.terms.currency)


async def _load(ctx: Context, customer_id: int) -> views.Account:
    async with ctx.database.read() as session:
        customer = await accounts.get(session, customer_id)
        machines, clusters = await deployments.count_active(session, customer)
        return views.Account(
            customer=customer,
            balances=await ledger.balances(session, customer.id),
            machines=machines,
            clusters=clusters,
            open_invoices=len(await invoices.open_ones(session, customer)),
            cards=len(await cards.listed(session, customer.id)),
            limit=ctx.terms.credit_limit if customer.credit_limit is None else customer.credit_limit,
            is_admin=await is_administrator(session, customer.telegram_id, ctx.services.settings.admin_ids),
        )


# --- blocking


async def _block(ctx: Context, text: str) -> View:
    customer = await _find(ctx, text, "/block 123456")
    return await _set_blocked(ctx, SetBlocked(customer_id=customer.id, on=True))


async def _unblock(ctx: Context, text: str) -> View:
    customer = await _find(ctx, text, "/unblock 123456")
    return await _set_blocked(ctx, SetBlocked(customer_id=customer.id, on=False))


async def _set_blocked(ctx: Context, press: SetBlocked) -> View:
    act = accounts.block if press.on else accounts.unblock
    async with ctx.database.transaction() as session:
        await act(session, press.customer_id, actor=ctx.customer.telegram_id, now=ctx.now)
    ctx.services.wake("messages")
    return views.blocked(await _load(ctx, press.customer_id), ctx.terms.currency)


# --- the credit limit


async def _limit(ctx: Context, text: str) -> View:
    customer = await _find(ctx, text, "/limit 123456 300.00")
    amount = text.partition(" ")[2].strip()
    return await _set_limit(ctx, customer.id, amount) if amount else await _ask_limit(ctx, AskLimit(customer.id))


async def _ask_limit(ctx: Context, press: AskLimit) -> View:
    async with ctx.database.transaction() as session:
        await accounts.get(session, press.customer_id)
        await awaiting.ask(session, ctx, _LIMIT, {"customer_id": press.customer_id})
    shown = await _load(ctx, press.customer_id)
    return views.ask_limit(shown.customer, shown.limit, ctx.terms.currency)


async def _limit_typed(ctx: Context, given: Answer) -> View:
    return await _set_limit(ctx, given.data["customer_id"], given.text)


async def _set_limit(ctx: Context, customer_id: int, text: str) -> View:
    amount = 0 if _ZERO.fullmatch(text.strip()) else ctx.terms.currency.parse(text)
    async with ctx.database.transaction() as session:
        await accounts.set_limit(session, customer_id, amount, actor=ctx.customer.telegram_id, now=ctx.now)
        await awaiting.forget(session, ctx.customer.telegram_id)
    return views.limited(await _load(ctx, customer_id), ctx.terms.currency)


# --- corrections


async def _credit(ctx: Context, text: str) -> View:
    customer = await _find(ctx, text, "/credit 123456 5.00 sorry")
    rest = text.partition(" ")[2].strip()
    return await _give(ctx, customer, rest) if rest else await _ask_credit(ctx, AskCredit(customer.id))


async def _ask_credit(ctx: Context, press: AskCredit) -> View:
    async with ctx.database.transaction() as session:
        customer = await accounts.get(session, press.customer_id)
        await awaiting.ask(session, ctx, _CREDIT, {"customer_id": customer.id})
    return views.ask_credit(customer)


async def _credit_typed(ctx: Context, given: Answer) -> View:
    async with ctx.database.read() as session:
        customer = await accounts.get(session, given.data["customer_id"])
    return await _give(ctx, customer, given.text)


async def _give(ctx: Context, customer: Customer, text: str) -> View:
    """Credit what was typed; the update names the act, so that one that is handled again changes nothing."""
    word, _, reason = text.partition(" ")
    amount, reason = ctx.terms.currency.parse(word), " ".join(reason.split())
    if not 0 < len(reason) <= LONGEST_REASON:
        return views.no_reason(customer)
    async with ctx.database.transaction() as session:
        await corrections.credit(
            session,
            customer.id,
            amount,
            reason,
            operation=f"credit:{ctx.update_id}",
            actor=ctx.customer.telegram_id,
            now=ctx.now,
        )
        await awaiting.forget(session, ctx.customer.telegram_id)
    ctx.services.wake("money")
    return views.credited(amount, await _load(ctx, customer.id), ctx.terms.currency)


# --- words


async def _ask_message(ctx: Context, press: AskMessage) -> View:
    async with ctx.database.transaction() as session:
        customer = await accounts.get(session, press.customer_id)
        await awaiting.ask(session, ctx, _MESSAGE, {"customer_id": customer.id})
    return views.ask_message(customer)


async def _message_typed(ctx: Context, given: Answer) -> View:
    async with ctx.database.transaction() as session:
        customer = await accounts.get(session, given.data["customer_id"])
        await _tell(session, ctx, customer, given.text[:_LONGEST_MESSAGE])
        await awaiting.forget(session, ctx.customer.telegram_id)
    ctx.services.wake("messages")
    return views.told(await _load(ctx, customer.id), ctx.terms.currency)


async def _tell(session: AsyncSession, ctx: Context, customer: Customer, text: str) -> None:
    dedup = f"message:{ctx.update_id}"
    await outbox.tell(session, customer, "words_of_house", {"text": text}, now=ctx.now, dedup=dedup, mail=True)
    audit.record(
        session, "message", actor=ctx.customer.telegram_id, now=ctx.now, customer_id=customer.id, text=text[:200]
    )


# --- deleting


async def _ask_delete_all(ctx: Context, press: AskDeleteAllOf) -> View:
    async with ctx.database.read() as session:
        customer = await accounts.get(session, press.customer_id)
        rows = await deployments.listed(session, customer)
    names = [row.name for row in rows if row.state in {*ACTIVE, State.FAILED}]
    return views.ask_delete_all(customer, names) if names else await _show(ctx, ShowCustomer(customer.id))


async def _delete_all(ctx: Context, press: DeleteAllOf) -> View:
    async with ctx.database.transaction() as session:
        gone = await administration.delete_all(session, press.customer_id, actor=ctx.customer.telegram_id, now=ctx.now)
    ctx.services.wake("machines")
    return views.deleted(len(gone), await _load(ctx, press.customer_id), ctx.terms.currency)


# --- cards and messages


async def _cards(ctx: Context, press: CardsOf) -> View:
    async with ctx.database.read() as session:
        customer = await accounts.get(session, press.customer_id)
        return views.cards_of(customer, await cards.listed(session, customer.id), ctx.now)


async def _notices(ctx: Context, press: NoticesOf) -> View:
    page = max(press.page, 0)
    async with ctx.database.read() as session:
        customer = await accounts.get(session, press.customer_id)
        found = await messages.of_customer(session, customer.id, offset=page * PAGE, limit=PAGE + 1)
    return views.notices_of(customer, found[:PAGE], page, more=len(found) > PAGE)

"""One update from Telegram to one answer: who is it, what is asked, may they, do it, show it."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

from sqlalchemy.exc import DBAPIError
from telegram import (
    CallbackQuery,
    ChatMember,
    Message,
    PreCheckoutQuery,
    RefundedPayment,
    SuccessfulPayment,
    Update,
    User,
)
from telegram.constants import ChatAction, ChatType, MessageEntityType
from telegram.error import BadRequest, Forbidden, TelegramError

from billing import accounts, closing
from billing.models import Customer
from bot import acting, awaiting, errors, i18n, logs, menu, support
from bot.callbacks import unpack
from bot.context import Context, Services
from bot.format import plain
from bot.guards import is_administrator
from bot.process_metrics import ANSWERS
from bot.router import Answer, Routes
from bot.view import View, send, show, stays_in_place
from bot.views import account, problems
from cloud import deployments

log = logging.getLogger(__name__)

_SPINNER_SECONDS = 0.7
"""A tap that takes longer is acknowledged without a word, so that its button stops spinning."""
_TYPING_SECONDS = 4
"""The chat shows that somebody types for five."""
_MONEY_WAITS = (1, 2, 4, 8, 16)
_NAME = 256
_TEXT = 4096


class Dispatcher:
    """Takes updates and answers them; holds no state of any dialogue."""

    def __init__(self, services: Services, routes: Routes) -> None:
        """Take the house and everything that it answers to."""
        self._services = services
        self._routes = routes

    async def handle(self, update: Update, _: Any = None) -> None:  # noqa: ANN401 the library's context, not used
        """Answer one update; nothing is raised, whatever it holds."""
        with logs.about(f"update:{update.update_id}"), ANSWERS.labels(_kind(update)).time():
            await self._answer(update)

    async def _answer(self, update: Update) -> None:
        try:
            await self._handle(update)
        except Forbidden:
            await self._reachable(update.effective_user, reachable=False)
        except TelegramError as error:
            log.warning("update %s: could not answer: %s", update.update_id, error)
        except Exception:
            log.exception("update %s", update.update_id)

    async def _handle(self, update: Update) -> None:
        if update.my_chat_member is not None:
            await self._membership(update)
        elif update.callback_query is not None:
            await self._tap(update, update.callback_query)
        elif update.pre_checkout_query is not None:
            await self._before_payment(update, update.pre_checkout_query)
        elif update.message is not None and update.message.from_user is not None:
            await self._message(update, update.message, update.message.from_user)

    async def _membership(self, update: Update) -> None:
        change = update.my_chat_member
        if change is not None and change.chat.type == ChatType.PRIVATE:
            await self._reachable(change.from_user, reachable=change.new_chat_member.status != ChatMember.BANNED)

    async def _message(self, update: Update, message: Message, user: User) -> None:
        if await self._from_staff(message):
            return
        if message.chat.type != ChatType.PRIVATE:
            await self._group(message)
            return
        if message.refunded_payment is not None:
            await self._given_back(update, message.chat.id, message.refunded_payment)
            return
        if message.successful_payment is None and not _says_something(message):
            return  # the chat's own words: something was pinned
        ctx = await self._context(update, user, typed=message)
        with i18n.speaking(ctx.customer.language):
            async with self._at_work(message.chat.id):
                try:
                    paid = message.successful_payment
                    view = await self._typed(ctx, message) if paid is None else await self._paid(ctx, paid)
                except Exception as error:  # noqa: BLE001 every error gets an answer
                    view = errors.answer(error)
                if view is None:
                    return
                shown = await send(self._services.bot, message.chat.id, view)
            await self._remember_question(ctx, shown.message_id)
            if ctx.awaiting is not None and not (message.text or "").startswith("/"):
                await self._take_away(message.chat.id, awaiting.question(ctx))

    async def _remember_question(self, ctx: Context, message_id: int) -> None:
        if ctx.asked:
            async with ctx.database.transaction() as session:
                await awaiting.asked_in(session, ctx.customer.telegram_id, message_id)

    async def _take_away(self, chat_id: int, message_id: int | None) -> None:
        """Remove a question that was answered: what follows stands below the answer, with buttons of its own."""
        if message_id is not None:
            try:
                await self._services.bot.delete_message(chat_id, message_id)
            except BadRequest as error:
                log.info("question %s stays: %s", message_id, error)

    @asynccontextmanager
    async def _at_work(self, chat_id: int) -> AsyncIterator[None]:
        """Show that an answer is on its way when it takes longer than a moment."""
        showing = asyncio.create_task(self._show_typing(chat_id))
        try:
            yield
        finally:
            showing.cancel()

    async def _show_typing(self, chat_id: int) -> None:
        await asyncio.sleep(_SPINNER_SECONDS)
        while True:
            await asyncio.shield(self._type(chat_id))
            await asyncio.sleep(_TYPING_SECONDS)

    async def _type(self, chat_id: int) -> None:
        with suppress(TelegramError):
            await self._services.bot.send_chat_action(chat_id, ChatAction.TYPING)

    async def _from_staff(self, message: Message) -> bool:
        """Pass on what support answers a customer, in the support chat or, by a reply, in an administrator's own."""
        if (message.text or "").startswith("/"):
            return False
        staff = message.chat.id == self._services.settings.support_chat_id
        if not staff and message.chat.type == ChatType.PRIVATE and message.reply_to_message is not None:
            async with self._services.database.read() as session:
                staff = await is_administrator(session, message.chat.id, self._services.settings.admin_ids)
        return staff and await support.pass_back(self._services, message)

    async def _typed(self, ctx: Context, message: Message) -> View | None:
        text = _clean(message.text or message.caption or "").strip()[:_TEXT]
        if ctx.customer.closed_at is not None:
            if not text.startswith("/start"):
                return account.closed_already()
            ctx = await self._welcome_back(ctx, message)
        if text.startswith("/"):
            # Somebody else's words are not this person's wish, whoever had them pass it on.
            return problems.forwarded() if message.forward_origin else await self._command(ctx, text)
        route = self._routes.answers.get(ctx.awaiting[0]) if ctx.awaiting else None
        if ctx.awaiting is None or route is None or not route.guard(ctx):
            return problems.not_understood()
        return await route.handler(ctx, Answer(text, ctx.awaiting[1]))

    async def _command(self, ctx: Context, text: str) -> View | None:
        word, *more = text[1:].split(maxsplit=1) or [""]
        rest = more[0] if more else ""
        name, _, bot_name = word.partition("@")
        if bot_name and bot_name.lower() != self._services.bot.username.lower():
            return None
        if ctx.awaiting is not None:
            # Somebody who types a command has left the question they were asked.
            async with ctx.database.transaction() as session:
                await awaiting.forget(session, ctx.customer.telegram_id)
        if name.lower() == "start" and rest:
            prefix, _, payload = rest.strip().partition("_")
            link = self._routes.starts.get(prefix)
            if link is not None and link.guard(ctx):
                return await link.handler(ctx, payload)
        route = self._routes.commands.get(name.lower())
        if route is None or not route.guard(ctx):
            return problems.unknown_command()
        return await route.handler(ctx, rest.strip())

    async def _before_payment(self, update: Update, query: PreCheckoutQuery) -> None:
        """Let a payment in the chat through, or say why not; the chat waits ten seconds."""
        ctx = await self._context(update, query.from_user)
        route = self._routes.before_payments.get(query.invoice_payload.partition(":")[0])
        with i18n.speaking(ctx.customer.language):
            try:
                known = route is not None and route.guard(ctx)
                refusal = await route.handler(ctx, query) if route and known else problems.old_screen()
            except Exception as error:  # noqa: BLE001 every error gets an answer
                refusal = errors.answer(error)
        if refusal is None:
            await query.answer(ok=True)
        else:
            await query.answer(ok=False, error_message=plain(refusal.text))

    async def _paid(self, ctx: Context, payment: SuccessfulPayment) -> View | None:
        """Take money that the chat has taken; whatever it was for, it is not asked who may pay."""
        route = self._routes.payments.get(payment.invoice_payload.partition(":")[0])
        if route is None:
            log.error("a payment of %s stars came for nothing that is sold", payment.total_amount)
            return problems.not_understood()
        return await _patiently(lambda: route.handler(ctx, payment))

    async def _given_back(self, update: Update, telegram_id: int, back: RefundedPayment) -> None:
        """Note that the chat gave money back; its message is the bot's own, in the chat of who had paid."""
        async with self._services.database.read() as session:
            customer = await accounts.by_telegram_id(session, telegram_id)
        route = self._routes.refunds.get(back.invoice_payload.partition(":")[0])
        if customer is not None and route is not None:
            ctx = Context(self._services, customer, False, self._services.clock.now(), update.update_id)
            await _patiently(lambda: route.handler(ctx, back))

    async def _tap(self, update: Update, query: CallbackQuery) -> None:
        message = query.message if isinstance(query.message, Message) else None
        if message is not None and message.chat.type != ChatType.PRIVATE:
            await _acknowledge(query, problems.private_only(self._services.chat_url).text)
            return
        ctx = await self._context(update, query.from_user, message=message)
        # A tap is answered in any case, or its button spins for a minute: at once, or soon with a word.
        spinner = asyncio.create_task(self._acknowledge_late(query))
        chat_id = query.from_user.id
        async with self._at_work(chat_id):
            with i18n.speaking(ctx.customer.language):
                try:
                    view = await self._pressed(ctx, query.data or "")
                except Exception as error:  # noqa: BLE001 every error gets an answer
                    view = errors.answer(error)
            if spinner.cancel():
                await _acknowledge(query, view.toast if view else "")
            if view is not None:
                await self._answer_tap(ctx, chat_id, view)

    async def _answer_tap(self, ctx: Context, chat_id: int, view: View) -> None:
        if ctx.followed and stays_in_place(view) and view.follows != ctx.followed:
            # Whoever goes on in this message is not thrown back by what happens to the machine.
            async with ctx.database.transaction() as session:
                await deployments.show_in(session, ctx.customer, ctx.followed, None)
        await self._remember_question(ctx, await show(self._services.bot, chat_id, ctx.message, view))

    async def _pressed(self, ctx: Context, data: str) -> View | None:
        press = unpack(data)
        if ctx.customer.closed_at is not None:
            return account.closed_already()
        route = self._routes.presses.get(type(press))
        if route is None or not route.guard(ctx):
            return problems.old_screen()
        return await route.handler(ctx, press)

    async def _acknowledge_late(self, query: CallbackQuery) -> None:
        await asyncio.sleep(_SPINNER_SECONDS)
        await asyncio.shield(_acknowledge(query, ""))

    async def _context(
        self, update: Update, user: User, *, message: Message | None = None, typed: Message | None = None
    ) -> Context:
        """Return who is acting; a new person, or one with a new name, is written down first."""
        now = self._services.clock.now()
        async with self._services.database.read() as session:
            customer, admin, waiting = await acting.look(session, user.id, self._services.settings.admin_ids)
            followed = 0
            if customer is not None and message is not None:
                followed = await deployments.shown_in(session, customer, message.message_id)
        if customer is None or not _is_as_known(customer, user):
            is_new = customer is None
            async with self._services.database.transaction() as session:
                customer = await accounts.register(
                    session,
                    telegram_id=user.id,
                    username=user.username or "",
                    name=_name(user),
                    language=i18n.nearest(user.language_code),
                    now=now,
                )
                customer.username, customer.name = user.username or "", _name(user)
                customer.unreachable_at = None
            if is_new and admin:
                # Made one before they ever wrote: until now there was no chat that could have a menu.
                clusters = self._services.able.clusters
                await menu.publish_for_administrator(self._services.bot, user.id, clusters=clusters)
        return Context(self._services, customer, admin, now, update.update_id, message, typed, waiting, followed)

    async def _welcome_back(self, ctx: Context, message: Message) -> Context:
        """Open a closed account again."""
        user = message.from_user
        async with ctx.database.transaction() as session:
            customer = await closing.reopen(session, ctx.customer)
            if user is not None:
                customer.username, customer.name = user.username or "", _name(user)
        return replace(ctx, customer=customer)

    async def _reachable(self, user: User | None, *, reachable: bool) -> None:
        """Write down that a person blocked the bot, or came back."""
        if user is None:
            return
        async with self._services.database.transaction() as session:
            customer = await accounts.by_telegram_id(session, user.id)
            if customer is not None:
                customer.unreachable_at = None if reachable else customer.unreachable_at or self._services.clock.now()

    async def _group(self, message: Message) -> None:
        """In a group there is only one answer, and only to who speaks to the bot."""
        text = message.text or ""
        mention = f"@{self._services.bot.username}".lower()
        is_command = any(
            entity.type == MessageEntityType.BOT_COMMAND and entity.offset == 0 for entity in message.entities
        )
        addressed = "@" not in text.split(" ")[0] or mention in text.lower()
        if (is_command and addressed) or mention in text.lower():
            await send(self._services.bot, message.chat.id, problems.private_only(self._services.chat_url))


def _kind(update: Update) -> str:
    """Return what an update is, in a few words for the figures."""
    if update.callback_query is not None:
        return "tap"
    if update.message is not None:
        return "command" if (update.message.text or "").startswith("/") else "message"
    return "other"


def _is_as_known(customer: Customer, user: User) -> bool:
    if customer.closed_at is not None:
        return True  # nothing is learned of who has gone
    same = (customer.username, customer.name) == (user.username or "", _name(user))
    return same and customer.unreachable_at is None


def _name(user: User) -> str:
    return _clean(user.full_name or "")[:_NAME].strip()  # deleted accounts have none


def _clean(text: str) -> str:
    """Return a text without the one character that PostgreSQL cannot store."""
    return text.replace("\x00", "")


def _says_something(message: Message) -> bool:
    return bool(message.text or message.caption or message.effective_attachment)


async def _patiently(handle: Callable[[], Awaitable[View | None]]) -> View | None:
    """Try again while a database is away for a moment: the chat tells of money once."""
    for seconds in _MONEY_WAITS:
        try:
            return await handle()
        except (DBAPIError, OSError) as error:
            log.warning("what the chat tells of money is tried again in %s s: %s", seconds, error)
        await asyncio.sleep(seconds)
    return await handle()


async def _acknowledge(query: CallbackQuery, toast: str) -> None:
    try:
        await query.answer(toast[:200] or None)
    except BadRequest as error:
        # Too old after a long outage: the person has moved on, the act counts all the same.
        log.info("tap not acknowledged: %s", error)

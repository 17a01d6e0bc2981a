"""Questions to the people behind the bot, and their answers (A28).

A question goes to the support chat, or to every administrator where there is none; in a forum each customer has a
topic. A reply to it, or any message in the topic, goes back. Nobody's words are kept: only which message is whose.
"""

import asyncio
import logging
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession
from telegram import InlineKeyboardMarkup, Message, ReactionTypeEmoji, ReplyParameters
from telegram.constants import ParseMode
from telegram.error import BadRequest, Forbidden, TelegramError

from billing.clock import HOUR
from billing.models import Administrator, Customer
from bot import i18n
from bot.context import Services
from bot.models import SupportMessage, SupportTopic
from bot.view import View, send
from bot.views import support as views

log = logging.getLogger(__name__)

MOST_AN_HOUR = 30
"""Messages of one customer to one chat: staff must be able to read them."""
_TOPIC_NAME = 128
_AT_ONCE = timedelta(seconds=5)
_LOOKS, _LOOK_SECONDS = 20, 0.1
"""How often an answer given at once is looked at again: a question is seen before it is written down whose it is."""


class TooMany(Exception):
    """The customer has written more in the last hour than can be read."""


async def pass_on(services: Services, customer: Customer, message: Message, text: str, *, now: datetime) -> bool:
    """Pass a customer's question on; return whether it has reached anybody.

    `text` is what it says, without the command; a picture, a file or a long text is copied after it.

    Raises:
        TooMany: not now.
    """
    chats = await _chats(services)
    async with services.database.read() as session:
        if any([await _too_many(session, customer, chat_id, now) for chat_id in chats]):
            raise TooMany
    reached = False
    for chat_id in chats:
        try:
            with i18n.speaking(await _language_of(services, chat_id)):
                await _post(services, chat_id, customer, message, text, now)
            reached = True
        except TelegramError as error:
            log.warning("support chat %s: %s", chat_id, error)
    return reached


async def pass_back(services: Services, message: Message) -> bool:
    """Pass an answer of staff back to the customer it is for; return whether it is one."""
    customer = await _customer_of(services, message)
    if customer is None:
        return False
    try:
        with i18n.speaking(customer.language):
            await _deliver(services, customer, message)
    except (Forbidden, TelegramError) as error:
        log.warning("answer of support to customer %s: %s", customer.id, error)
        with i18n.speaking(await _language_of(services, message.chat.id)):
            view = views.undelivered() if isinstance(error, Forbidden) else views.try_again()
        await _say_below(services, message, view)
        return True
    await _tick(services, message)
    return True


async def _customer_of(services: Services, message: Message) -> Customer | None:
    """Return whose question a message answers; one that follows at once may have to wait until that is written down."""
    asked = message.reply_to_message
    looks = _LOOKS if asked is not None and message.date - asked.date < _AT_ONCE else 1
    for look in range(looks):
        if look:
            await asyncio.sleep(_LOOK_SECONDS)
        async with services.database.read() as session:
            customer = await _asked_by(session, message)
        if customer is not None:
            return customer
    return None


async def _chats(services: Services) -> list[int]:
    """Return the chats that questions go to."""
    if services.settings.support_chat_id is not None:
        return [services.settings.support_chat_id]
    async with services.database.read() as session:
        granted = set(await session.scalars(select(Administrator.telegram_id)))
    return sorted(services.settings.admin_ids | granted)


async def _language_of(services: Services, chat_id: int) -> str | None:
    """Return the language of a person's chat; a group reads the default."""
    async with services.database.read() as session:
        return await session.scalar(select(Customer.language).where(Customer.telegram_id == chat_id))


async def _too_many(session: AsyncSession, customer: Customer, chat_id: int, now: datetime) -> bool:
    sent = select(func.count()).where(
        SupportMessage.customer_id == customer.id,
        SupportMessage.chat_id == chat_id,
        SupportMessage.sent_at > now - HOUR,
    )
    return (await session.scalar(sent) or 0) >= MOST_AN_HOUR


# --- to staff


async def _post(
    services: Services, chat_id: int, customer: Customer, message: Message, text: str, now: datetime
) -> None:
    """Put a question into one chat, into the customer's topic where the chat is a forum."""
    thread_id = await _topic(services, chat_id, customer)
    try:
        sent = await _write(services, chat_id, thread_id, customer, message, text)
    except BadRequest as error:
        if thread_id is None or not await _mended(services, chat_id, thread_id, customer, error):
            raise
        sent = await _write(services, chat_id, await _topic(services, chat_id, customer), customer, message, text)
    async with services.database.transaction() as session:
        for message_id in sent:
            await session.merge(
                SupportMessage(chat_id=chat_id, message_id=message_id, customer_id=customer.id, sent_at=now)
            )


async def _write(
    services: Services, chat_id: int, thread_id: int | None, customer: Customer, message: Message, text: str
) -> list[int]:
    """Write who asks what; return the ids of the messages that can be replied to."""
    whole = message.text is not None and len(text) <= views.LONGEST
    head = await services.bot.send_message(
        chat_id,
        views.question(customer, text if whole else "").text,
        parse_mode=ParseMode.HTML,
        message_thread_id=thread_id,
    )
    if whole:
        return [head.message_id]
    copied = await services.bot.copy_message(chat_id, message.chat.id, message.message_id, message_thread_id=thread_id)
    return [head.message_id, copied.message_id]


async def _topic(services: Services, chat_id: int, customer: Customer) -> int | None:
    """Return the customer's topic, made when it is needed first; none where the chat is no forum."""
    async with services.database.read() as session:
        known = await session.get(SupportTopic, (customer.id, chat_id))
    if known is not None:
        return known.thread_id
    if chat_id > 0 or not (await services.bot.get_chat(chat_id)).is_forum:
        return None
    try:
        made = await services.bot.create_forum_topic(chat_id, views.topic(customer)[:_TOPIC_NAME])
    except BadRequest as error:
        # Without the right to make topics everything stands in the general one, and is answered by replies.
        log.warning("support chat %s: no topic for customer %s: %s", chat_id, customer.id, error)
        return None
    insert = sqlite.insert if services.database.is_sqlite else postgresql.insert
    row = insert(SupportTopic).values(customer_id=customer.id, chat_id=chat_id, thread_id=made.message_thread_id)
    async with services.database.transaction() as session:
        await session.execute(row.on_conflict_do_nothing())
    return made.message_thread_id


async def _mended(services: Services, chat_id: int, thread_id: int, customer: Customer, error: BadRequest) -> bool:
    """Open a closed topic again, or forget one that was deleted; return whether it is worth another try."""
    words = str(error).lower()
    if "closed" in words:
        return await services.bot.reopen_forum_topic(chat_id, thread_id)
    if "thread not found" not in words and "topic_deleted" not in words:
        return False
    async with services.database.transaction() as session:
        gone = await session.get(SupportTopic, (customer.id, chat_id))
        if gone is not None:
            await session.delete(gone)
    return True


# --- from staff


async def _asked_by(session: AsyncSession, message: Message) -> Customer | None:
    """Return the customer whose question a message answers."""
    customer_id = None
    if message.is_topic_message and message.message_thread_id is not None:
        customer_id = await session.scalar(
            select(SupportTopic.customer_id).where(
                SupportTopic.chat_id == message.chat.id, SupportTopic.thread_id == message.message_thread_id
            )
        )
    if customer_id is None and message.reply_to_message is not None:
        asked = await session.get(SupportMessage, (message.chat.id, message.reply_to_message.message_id))
        customer_id = asked.customer_id if asked else None
    return None if customer_id is None else await session.get(Customer, customer_id)


async def _deliver(services: Services, customer: Customer, message: Message) -> None:
    html = message.text_html if message.text and len(message.text_html) <= views.LONGEST else ""
    await send(services.bot, customer.telegram_id, views.answer(html))
    if not html:
        await services.bot.copy_message(
            customer.telegram_id,
            message.chat.id,
            message.message_id,
            reply_markup=InlineKeyboardMarkup([[views.write_back().markup()]]),
        )


async def _tick(services: Services, message: Message) -> None:
    """Show staff that their answer has arrived."""
    try:
        await services.bot.set_message_reaction(message.chat.id, message.message_id, ReactionTypeEmoji("👍"))
    except BadRequest as error:
        # Some chats allow no reactions; the answer has arrived all the same.
        log.info("support chat %s: no reaction: %s", message.chat.id, error)


async def _say_below(services: Services, message: Message, view: View) -> None:
    await services.bot.send_message(
        message.chat.id,
        view.text,
        parse_mode=ParseMode.HTML,
        reply_parameters=ReplyParameters(message.message_id, allow_sending_without_reply=True),
    )

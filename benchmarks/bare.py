"""Bots that do nothing but echo: python-telegram-bot with its own transport or with ours, and aiogram."""

import asyncio
import sys

TOKEN = "700000001:bench"  # noqa: S105 opens nothing


def ptb(url: str, *, ours: bool) -> None:
    """Echo with python-telegram-bot as it comes, or with our transport."""
    from telegram import Update  # noqa: PLC0415 each bot pays for its own library
    from telegram.ext import Application, ContextTypes, MessageHandler, filters  # noqa: PLC0415

    async def echo(update: Update, _: ContextTypes.DEFAULT_TYPE) -> None:
        assert update.message is not None
        await update.message.reply_text(update.message.text or "")

    builder = Application.builder().token(TOKEN).base_url(f"{url}/bot").concurrent_updates(True)
    if ours:
        from bot.transport import AiohttpRequest  # noqa: PLC0415

        builder = builder.request(AiohttpRequest(at_once=256)).get_updates_request(AiohttpRequest())
    app = builder.build()
    app.add_handler(MessageHandler(filters.TEXT, echo))
    app.run_polling()


async def aiogram(url: str) -> None:
    """Echo with aiogram as it comes."""
    from aiogram import Bot, Dispatcher  # noqa: PLC0415 same
    from aiogram.client.session.aiohttp import AiohttpSession  # noqa: PLC0415
    from aiogram.client.telegram import TelegramAPIServer  # noqa: PLC0415
    from aiogram.types import Message  # noqa: PLC0415

    dispatcher = Dispatcher()

    @dispatcher.message()
    async def echo(message: Message) -> None:
        await message.answer(message.text or "")

    bot = Bot(TOKEN, session=AiohttpSession(api=TelegramAPIServer.from_base(url)))
    await dispatcher.start_polling(bot)


if __name__ == "__main__":
    if sys.argv[1] in {"ptb", "ours"}:
        ptb(sys.argv[2], ours=sys.argv[1] == "ours")
    else:
        asyncio.run(aiogram(sys.argv[2]))

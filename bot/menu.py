"""What people see of the bot before they type: set by the program itself, only where it differs."""

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from telegram import BotCommand, BotCommandScope, BotCommandScopeAllPrivateChats, BotCommandScopeChat
from telegram.error import BadRequest, Forbidden, TelegramError
from telegram.ext import ExtBot

from bot.i18n import _

log = logging.getLogger(__name__)


def for_customers() -> Mapping[str, str]:
    """Return the commands of the menu with what they do."""
    return {
        "start": _("Home"),
        "deploy": _("Deploy a machine or a cluster"),
        "vms": _("Your machines"),
        "k8s": _("Your clusters"),
        "prices": _("What it costs"),
        "invoices": _("Your invoices"),
        "cards": _("Your cards"),
        "settings": _("SSH keys and more"),
        "help": _("Everything I can do"),
    }


def for_administrators() -> Mapping[str, str]:
    """Return the commands that administrators have besides."""
    return {"setprice": _("Set a monthly price")}


async def publish(bot: ExtBot[Any], administrators: Iterable[int]) -> None:
    """Set the menus; a person who never wrote to the bot gets theirs when they do."""
    try:
        await _set(bot, for_customers(), BotCommandScopeAllPrivateChats())
    except TelegramError as error:
        log.warning("command menu: %s", error)
    for telegram_id in administrators:
        await publish_for_administrator(bot, telegram_id)


async def publish_for_administrator(bot: ExtBot[Any], telegram_id: int) -> None:
    """Set an administrator's menu in their chat."""
    commands = {**for_customers(), **for_administrators()}
    try:
        await _set(bot, commands, BotCommandScopeChat(telegram_id))
    except (BadRequest, Forbidden) as error:
        log.info("menu of administrator %s: %s", telegram_id, error)
    except TelegramError as error:
        log.warning("menu of administrator %s: %s", telegram_id, error)


async def _set(bot: ExtBot[Any], commands: Mapping[str, str], scope: BotCommandScope) -> None:
    wanted = tuple(BotCommand(name, text) for name, text in commands.items())
    if await bot.get_my_commands(scope) != wanted:
        await bot.set_my_commands(wanted, scope)

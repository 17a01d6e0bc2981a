"""What people see of the bot before they type: commands, descriptions, a picture; set by the program where they differ.

Telegram shows the list of the language that the person's app has.
"""

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from telegram import (
    BotCommand,
    BotCommandScope,
    BotCommandScopeAllPrivateChats,
    BotCommandScopeChat,
    InputProfilePhotoStatic,
)
from telegram.error import BadRequest, Forbidden, TelegramError
from telegram.ext import ExtBot

from bot import i18n
from bot.i18n import _

log = logging.getLogger(__name__)

_FACE = Path(__file__).with_name("profile.jpg")


def for_customers(*, clusters: bool) -> Mapping[str, str]:
    """Return the commands of the menu with what they do; `clusters` is whether they can be had."""
    return {
        "start": _("Home"),
        "deploy": _("Deploy a machine or a cluster") if clusters else _("Deploy a machine"),
        "vms": _("Your machines"),
        **({"k8s": _("Your clusters")} if clusters else {}),
        "prices": _("What it costs"),
        "usage": _("Hours and cost this month"),
        "balance": _("Your balance"),
        "topup": _("Charge your balance"),
        "invoices": _("Your invoices"),
        "cards": _("Your cards"),
        "voucher": _("Redeem a voucher"),
        "settings": _("SSH keys, e-mail and more"),
        "support": _("Write to us"),
        "help": _("Everything I can do"),
    }


def for_administrators() -> Mapping[str, str]:
    """Return the commands that administrators have besides."""
    return {
        "admin": _("Run the business"),
        "users": _("Customers"),
        "deployments": _("All deployments"),
        "allinvoices": _("All invoices"),
        "requests": _("Voucher requests"),
        "newvoucher": _("Make vouchers"),
        "vouchers": _("Vouchers"),
        "stars": _("Paid in Telegram Stars"),
        "setprice": _("Set a monthly price"),
        "announce": _("Write to everybody"),
        "maintenance": _("Stop or allow new deployments"),
        "stats": _("Figures of the business"),
        "audit": _("Who did what"),
    }


def description(*, clusters: bool) -> str:
    """Return what an empty chat shows above the start button; at most 512 characters."""
    how = _(
        "Choose a size, pay by card, balance or voucher, and log in a minute later. "
        "You pay for started hours only, and never more than the monthly price."
    )
    return f"{short_description(clusters=clusters)}\n\n{how}"


def short_description(*, clusters: bool) -> str:
    """Return what the bot's profile and shared links show; at most 120 characters."""
    if clusters:
        return _("Virtual machines and Kubernetes clusters by the hour, from this chat.")
    return _("Virtual machines by the hour, from this chat.")


async def publish(bot: ExtBot[Any], administrators: Iterable[int], *, clusters: bool) -> None:
    """Set menus and descriptions in every language; a person who never wrote to the bot gets theirs when they do."""
    for language in i18n.LANGUAGES:
        # The default language stands for all that have none of their own.
        code = None if language == i18n.DEFAULT else language
        with i18n.speaking(language):
            try:
                await _set(bot, for_customers(clusters=clusters), BotCommandScopeAllPrivateChats(), code)
                await _describe(bot, code, clusters=clusters)
            except TelegramError as error:
                log.warning("menu and descriptions: %s", error)
    try:
        await _show_face(bot)
    except TelegramError as error:
        log.warning("picture: %s", error)
    for telegram_id in administrators:
        await publish_for_administrator(bot, telegram_id, clusters=clusters)


async def publish_for_administrator(bot: ExtBot[Any], telegram_id: int, *, clusters: bool) -> None:
    """Set an administrator's menu in their chat."""
    for language in i18n.LANGUAGES:
        code = None if language == i18n.DEFAULT else language
        with i18n.speaking(language):
            commands = {**for_customers(clusters=clusters), **for_administrators()}
            await _set_for(bot, telegram_id, commands, code)


async def _set_for(bot: ExtBot[Any], telegram_id: int, commands: Mapping[str, str], code: str | None) -> None:
    try:
        await _set(bot, commands, BotCommandScopeChat(telegram_id), code)
    except (BadRequest, Forbidden) as error:
        log.info("menu of %s: %s", telegram_id, error)
    except TelegramError as error:
        log.warning("menu of %s: %s", telegram_id, error)


async def _set(bot: ExtBot[Any], commands: Mapping[str, str], scope: BotCommandScope, code: str | None) -> None:
    wanted = tuple(BotCommand(name, text) for name, text in commands.items())
    if await bot.get_my_commands(scope, language_code=code) != wanted:
        await bot.set_my_commands(wanted, scope, language_code=code)


async def _describe(bot: ExtBot[Any], code: str | None, *, clusters: bool) -> None:
    long, short = description(clusters=clusters), short_description(clusters=clusters)
    if (await bot.get_my_description(code)).description != long:
        await bot.set_my_description(long, code)
    if (await bot.get_my_short_description(code)).short_description != short:
        await bot.set_my_short_description(short, code)


async def _show_face(bot: ExtBot[Any]) -> None:
    """Give a bot that has no picture this product's; one that its operator chose stays."""
    if not (await bot.get_user_profile_photos(bot.id, limit=1)).total_count:
        await bot.set_my_profile_photo(InputProfilePhotoStatic(_FACE.read_bytes()))


async def publish_for_customer(bot: ExtBot[Any], telegram_id: int) -> None:
    """Take an administrator's menu away again: the one for everybody shows in their chat."""
    for language in i18n.LANGUAGES:
        try:
            code = None if language == i18n.DEFAULT else language
            await bot.delete_my_commands(BotCommandScopeChat(telegram_id), language_code=code)
        except TelegramError as error:
            log.warning("menu of %s: %s", telegram_id, error)

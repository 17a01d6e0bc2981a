"""Keeps the one chat message that shows a deployment up to date while things happen to it."""

import logging
from typing import Any

from telegram.error import TelegramError
from telegram.ext import ExtBot

from billing import accounts
from billing.db import Database
from billing.models import Notice
from bot import i18n, screens
from bot.context import Services
from bot.view import View, edit, stays_in_place
from cloud import deployments

log = logging.getLogger(__name__)


class Progress:
    """Told of each change of a deployment; redraws its message."""

    def __init__(self, services: Services) -> None:
        """Take the house."""
        self._services = services

    async def __call__(self, deployment_id: int) -> None:
        """Redraw the message that shows this deployment, if there is one."""
        services = self._services
        services.wake("messages")
        async with services.database.read() as session:
            row = await deployments.find(session, deployment_id)
            if row.chat_message_id is None:
                return
            customer = await accounts.get(session, row.customer_id)
            with i18n.speaking(customer.language):
                view = await screens.deployment_for(
                    session,
                    customer,
                    row.id,
                    now=services.clock.now(),
                    terms=services.terms,
                    real=services.real,
                )
        try:
            await edit(services.bot, customer.telegram_id, row.chat_message_id, view)
        except TelegramError as error:
            # The next change, or the next tap, draws it again.
            log.info("progress of deployment %s not shown: %s", deployment_id, error)


class Stands:
    """Told of each notice that stands in a chat: one that ends an order takes the place of its progress.

    It comes as a new message, since only such a one makes a phone ring; the message that showed the progress would
    say the same above it, and is removed.
    """

    _ENDS = frozenset({"deployment_ready", "deployment_failed"})

    def __init__(self, database: Database, bot: ExtBot[Any]) -> None:
        """Take where it is written which message shows what, and the chat."""
        self._database = database
        self._bot = bot

    async def __call__(self, notice: Notice, view: View, message_id: int) -> None:
        """Let the message of this notice be the one that shows its deployment."""
        if notice.kind not in self._ENDS:
            return
        async with self._database.transaction() as session:
            row = await deployments.find(session, notice.data["deployment_id"])
            before = row.chat_message_id
            row.chat_message_id = message_id if view.follows and stays_in_place(view) else None
        if before in {None, message_id}:
            return
        try:
            await self._bot.delete_message(notice.recipient or 0, before)
        except TelegramError as error:
            log.info("the message with the progress of deployment %s stays: %s", row.id, error)

"""Keeps the chat message that shows a deployment up to date while things happen to it."""

import logging

from telegram.error import TelegramError

from billing import accounts
from bot import i18n, screens
from bot.context import Services
from bot.view import edit
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

"""The chat as the place where Telegram Stars are given back: what `billing.stars` needs of it."""

from typing import Any

from telegram.error import BadRequest, Forbidden, NetworkError, RetryAfter, TelegramError
from telegram.ext import ExtBot

from billing.gateway import GatewayBusy, GatewayRefused, OutcomeUnknown

_DONE_ALREADY = "already_refunded"


class TelegramStars:
    """Gives stars back by the Bot API."""

    def __init__(self, bot: ExtBot[Any]) -> None:
        """Take the bot that was paid."""
        self._bot = bot

    async def refund(self, telegram_id: int, charge_id: str) -> None:
        """Give a payment back; see `billing.stars.StarsGateway`."""
        try:
            await self._bot.refund_star_payment(telegram_id, charge_id)
        except RetryAfter as error:
            raise GatewayBusy(str(error)) from error
        except (BadRequest, Forbidden) as error:
            # The library's BadRequest is a kind of its NetworkError: it goes first.
            if _DONE_ALREADY not in str(error).lower():
                raise GatewayRefused(str(error)) from error
        except (NetworkError, TelegramError) as error:
            raise OutcomeUnknown(str(error)) from error

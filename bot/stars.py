"""The chat as the place where Telegram Stars move: what `billing.stars` and its comparison need of it."""

from typing import Any

from telegram import StarTransaction, TransactionPartnerUser
from telegram.constants import TransactionPartnerUser as Partner
from telegram.error import BadRequest, Forbidden, NetworkError, RetryAfter, TelegramError
from telegram.ext import ExtBot

from billing.gateway import GatewayBusy, GatewayRefused, OutcomeUnknown
from billing.stars_reconciliation import Move

_DONE_ALREADY = "already_refunded"
_PAGE = 100
"""The most transactions that the Bot API lists at once."""


class TelegramStars:
    """Gives stars back by the Bot API, and lists those that moved."""

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

    async def moves(self) -> list[Move]:
        """Return what was paid and given back; see `billing.stars_reconciliation.StarsList`."""
        listed: list[StarTransaction] = []
        try:
            while page := (await self._bot.get_star_transactions(len(listed), _PAGE)).transactions:
                listed += page
        except RetryAfter as error:
            raise GatewayBusy(str(error)) from error
        except TelegramError as error:
            raise OutcomeUnknown(str(error)) from error
        return [move for one in listed if (move := _move(one)) is not None]


def _move(one: StarTransaction) -> Move | None:
    """Return a payment of an invoice or its return; `None` for gifts, withdrawals and the like."""
    partner = one.source or one.receiver
    if not isinstance(partner, TransactionPartnerUser) or partner.transaction_type != Partner.INVOICE_PAYMENT:
        return None
    return Move(one.id, one.amount, back=one.receiver is not None, at=one.date)

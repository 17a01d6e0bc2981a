"""What a handler gets: the services of the house, and who is acting."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from telegram import Message
from telegram.ext import ExtBot

from billing.cashier import Cashier
from billing.checkouts import Checkouts
from billing.clock import Clock
from billing.db import Database
from billing.gateway import Gateway
from billing.models import Customer
from billing.stars import StarsDesk
from billing.terms import Terms
from bot.mail import Mailer
from bot.settings import Settings
from cloud.drivers.base import Capabilities, Driver
from cloud.overdue import Overdue


@dataclass(frozen=True, slots=True)
class Services:
    """Everything that is built once, in `app.py`, and used everywhere above billing and cloud."""

    settings: Settings
    terms: Terms
    clock: Clock
    database: Database
    gateway: Gateway
    driver: Driver
    cashier: Cashier
    checkouts: Checkouts
    stars: StarsDesk
    bot: ExtBot[Any]
    chat_url: str
    """The way into the private chat, `https://t.me/the_bot`."""
    overdue: Overdue
    """Acts on the machines of those who do not pay."""
    able: Capabilities
    """What the cloud can make."""
    mailer: Mailer | None = None
    """Hands in mail; none where no mail is sent."""
    wakers: dict[str, Callable[[], None]] = field(default_factory=dict)
    """How workers of this process are told that there is work, by name."""

    @property
    def real(self) -> bool:
        """False where machines are simulated."""
        return self.able.real

    def wake(self, worker: str) -> None:
        """Have a worker look now; in a process without it another one's will."""
        if worker in self.wakers:
            self.wakers[worker]()


@dataclass(frozen=True, slots=True)
class Context:
    """One update being answered.

    Attributes:
        services: the house.
        customer: who is acting; made at their first message.
        is_admin: whether they run the business, asked anew at each update.
        now: the instant of this update, asked once.
        update_id: Telegram's; the same update handled again after a crash has the same.
        message: the message whose button was tapped, or `None` when something was typed.
        typed: the message that was typed, or `None` when a button was tapped.
        awaiting: what a free text answers, and what was kept when it was asked for.
        asked: what its answer waits for as free text; `awaiting.ask` puts it there.
        followed: the deployment, by its id, whose screen the tapped message shows and is redrawn with; 0 for none.
    """

    services: Services
    customer: Customer
    is_admin: bool
    now: datetime
    update_id: int
    message: Message | None = None
    typed: Message | None = None
    awaiting: tuple[str, dict[str, Any]] | None = None
    followed: int = 0
    asked: list[str] = field(default_factory=list)

    @property
    def database(self) -> Database:
        """The database, which a handler opens transactions on."""
        return self.services.database

    @property
    def terms(self) -> Terms:
        """The operator's terms of business."""
        return self.services.terms

    @property
    def operation(self) -> str:
        """An operation id of this update, for acts that its ids do not name already."""
        return f"update:{self.update_id}"

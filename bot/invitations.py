"""Mails users of the former system the links by which they come: one at a time, each with a code of its own."""

from dataclasses import dataclass

from billing.clock import Clock
from billing.db import Database
from billing.terms import Terms
from bot.letters import composed
from bot.mail import Fate, Mailer
from bot.views import former as views
from cloud import former
from cloud.former import Letter

LINK = "i"
"""Names the deep link: `/start i_CODE`."""


@dataclass(frozen=True, slots=True)
class Invitations:
    """Hands links to the mail server; any number of these may work at once."""

    database: Database
    clock: Clock
    mailer: Mailer | None
    terms: Terms
    chat_url: str
    shop: str
    """What the bot is called."""

    async def step(self) -> bool:
        """Mail the next link that is due; return whether one was."""
        if self.mailer is None:
            return False
        async with self.database.read() as session:
            if not await former.is_any_due(session, now=self.clock.now()):
                return False
        async with self.database.transaction() as session:
            letter = await former.next_letter(session, now=self.clock.now())
        if letter is None:
            return False
        view = views.mail(letter, self.shop, url(self.chat_url, letter.code), self.terms)
        outcome = await self.mailer.send(composed(_key(letter), letter.email, view, letter.at))
        async with self.database.transaction() as session:
            if outcome.fate is Fate.ACCEPTED:
                await former.mailed(session, letter, now=self.clock.now())
            else:
                again = outcome.fate is Fate.LATER
                await former.not_mailed(session, letter, outcome.reason, now=self.clock.now(), again=again)
        return True


def url(chat_url: str, code: str) -> str:
    """Return the link that a code is opened by."""
    return f"{chat_url}?start={LINK}_{code}"


def _key(letter: Letter) -> str:
    return f"former-{letter.user_id}-{int(letter.at.timestamp())}"

"""Turns a notice into a screen in its reader's language, with the document where there is one."""

import asyncio
from datetime import datetime

from billing import invoices
from billing.clock import Clock
from billing.db import Database
from billing.models import Customer, Notice
from billing.terms import Terms
from bot import i18n, screens
from bot.documents import invoice_pdf
from bot.view import Attachment, View
from bot.views import notices as views

_WITH_DOCUMENT = frozenset({"invoice_issued"})
_OF_DEPLOYMENT = frozenset({"deployment_ready"})
"""Told by the deployment's own screen, as it is when the message goes out."""


class Writer:
    """Finds the words of notices."""

    def __init__(self, *, database: Database, clock: Clock, terms: Terms, real: bool) -> None:
        """Take what the words are made of; `real` is false where machines are simulated."""
        self._database = database
        self._clock = clock
        self._terms = terms
        self._real = real

    async def __call__(self, notice: Notice, customer: Customer | None) -> View | None:
        """Return the screen of a notice, in the customer's language where there is one."""
        with i18n.speaking(customer.language if customer and customer.telegram_id == notice.recipient else None):
            if notice.kind in _OF_DEPLOYMENT and customer is not None:
                return await self._deployment(notice, customer, self._clock.now())
            view = views.WORDS[notice.kind](notice.data, self._terms)
            if notice.kind in _WITH_DOCUMENT and customer is not None:
                return await self._with_document(view, notice, customer)
            return view

    async def _deployment(self, notice: Notice, customer: Customer, now: datetime) -> View:
        async with self._database.read() as session:
            return await screens.deployment_for(
                session, customer, notice.data["deployment_id"], now=now, terms=self._terms, real=self._real
            )

    async def _with_document(self, view: View, notice: Notice, customer: Customer) -> View:
        async with self._database.read() as session:
            invoice = await invoices.get(session, customer, notice.data["invoice_id"])
            shown = await invoices.document(session, invoice)
        content = await asyncio.to_thread(invoice_pdf, shown, self._terms.currency)
        return View(view.text, view.rows, Attachment(f"{shown.invoice.number}.pdf", content))

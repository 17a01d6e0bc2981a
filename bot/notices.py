"""Turns a notice into a screen in its reader's language, with the documents where there are some."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from billing import announcements, credit_notes, invoices, reminders
from billing.clock import Clock
from billing.db import Database
from billing.models import Channel, Customer, Invoice, Notice
from billing.terms import Terms
from bot import i18n, screens
from bot.documents import credit_note_pdf, invoice_pdf
from bot.i18n import _
from bot.view import Attachment, Button, View
from bot.views import machines, notices_operator
from bot.views import notices as views
from cloud import deployments

_OF_DEPLOYMENT = frozenset({"deployment_ready"})
"""Told by the deployment's own screen, as it is when the message goes out."""
_OF_DEBT = frozenset({"invoice_unpaid", "unpaid_reminder"})
"""Told of what is due when the message goes out."""
_CAPTION = 1000
"""Characters with tags that may stand under a file; Telegram takes 1024 without them."""


class Writer:
    """Finds the words of notices."""

    def __init__(self, *, database: Database, clock: Clock, terms: Terms, real: bool, chat_url: str) -> None:
        """Take what the words are made of.

        Args:
            database: where the facts are.
            clock: asked once for each notice.
            terms: the terms of business.
            real: false where machines are simulated.
            chat_url: the way into the chat, for mails.
        """
        self._database = database
        self._clock = clock
        self._terms = terms
        self._real = real
        self._chat_url = chat_url

    async def __call__(self, notice: Notice, customer: Customer | None) -> View | None:
        """Return the screen of a notice in the language of who gets it; `None` when it is no longer so."""
        with i18n.speaking(customer.language if customer and _is_for(notice, customer) else None):
            view = await self._view(notice, customer)
            if view is None or notice.channel is Channel.CHAT:
                return view
            # Buttons that act are for the chat.
            return replace(view, rows=(*view.rows, (Button(_("💬 Open the chat"), url=self._chat_url),)))

    async def _view(self, notice: Notice, customer: Customer | None) -> View | None:
        if customer is None:
            return views.WORDS[notice.kind](notice.data, self._terms)
        if notice.kind in _OF_DEPLOYMENT:
            return await self._deployment(notice, customer)
        if notice.kind == announcements.KIND:
            return await self._announcement(notice)
        data: dict[str, Any] = notice.data
        if notice.kind in _OF_DEBT:
            as_it_is = await self._debt(notice, customer)
            if as_it_is is None:
                return None
            data = as_it_is
        if notice.kind == "credit_note_issued":
            return await self._with_credit_note(views.WORDS[notice.kind](data, self._terms), customer, data)
        return await self._with_documents(views.WORDS[notice.kind](data, self._terms), notice, customer, data)

    async def _deployment(self, notice: Notice, customer: Customer) -> View:
        async with self._database.read() as session:
            view = await screens.deployment_for(
                session,
                customer,
                notice.data["deployment_id"],
                now=self._clock.now(),
                terms=self._terms,
                real=self._real,
            )
            row = await deployments.get(session, customer, notice.data["deployment_id"])
        return machines.with_kubeconfig(view, row)

    async def _announcement(self, notice: Notice) -> View:
        async with self._database.read() as session:
            return notices_operator.announcement(
                (await announcements.get(session, notice.data["announcement_id"])).text
            )

    async def _debt(self, notice: Notice, customer: Customer) -> dict[str, Any] | None:
        async with self._database.read() as session:
            now = await reminders.as_it_is(session, customer, now=self._clock.now(), terms=self._terms)
        return notice.data | now if now is not None else None

    async def _with_credit_note(self, view: View, customer: Customer, data: dict[str, Any]) -> View:
        async with self._database.read() as session:
            note = await credit_notes.get(session, customer, data["credit_note_id"])
            lines = await credit_notes.lines(session, note)
            invoice = await invoices.get(session, customer, note.invoice_id)
        content = await credit_note_pdf(note, lines, invoice, self._terms.currency)
        return replace(view, attachment=Attachment(f"{note.number}.pdf", content))

    async def _with_documents(self, view: View, notice: Notice, customer: Customer, data: dict[str, Any]) -> View:
        """Add the invoices that a notice is about: one goes with the message, more only with a mail."""
        async with self._database.read() as session:
            about = await _invoices(session, notice.kind, customer, data)
            if not about or (len(about) > 1 and notice.channel is Channel.CHAT):
                return view
            documents = [await invoices.document(session, invoice) for invoice in about]
        files = [
            Attachment(
                f"{document.invoice.number}.pdf",
                await invoice_pdf(document, self._terms.currency),
            )
            for document in documents
        ]
        if notice.channel is Channel.CHAT and len(view.text) > _CAPTION:
            return view
        return replace(view, attachment=files[0], enclosed=tuple(files[1:]))


def _is_for(notice: Notice, customer: Customer) -> bool:
    """Whether the customer is who reads it, and not an administrator."""
    return notice.channel is Channel.MAIL or notice.recipient == customer.telegram_id


async def _invoices(session: AsyncSession, kind: str, customer: Customer, data: dict[str, Any]) -> Sequence[Invoice]:
    """Return the invoices whose documents go with a notice."""
    match kind:
        case "invoice_issued" | "debit_note_issued":
            return [await invoices.get(session, customer, data["invoice_id"])]
        case "invoice_unpaid" | "unpaid_reminder":
            return [await invoices.get(session, customer, one["invoice_id"]) for one in data["invoices"]]
        case "payment_declined":
            mine = select(Invoice).where(Invoice.customer_id == customer.id, Invoice.number.in_(data["numbers"]))
            return (await session.scalars(mine.order_by(Invoice.id))).all()
        case _:
            return []

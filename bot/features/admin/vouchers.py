"""`/newvoucher`, `/vouchers`, `/requests`: make codes, see what became of them, decide requests (B1, B8, C10)."""

import asyncio
import re
from dataclasses import dataclass

from billing import voucher_requests, vouchers
from billing.errors import Conflict
from billing.vouchers import MOST_AT_ONCE, MOST_DAYS, Issued
from bot import awaiting, vouchers_file
from bot.context import Context
from bot.guards import administrators
from bot.links import Requests
from bot.router import Answer, Route, answer, command, press
from bot.view import View
from bot.views import admin_vouchers as views
from bot.views.admin_vouchers import (
    BATCHES,
    VOUCHERS,
    Approve,
    ApproveAll,
    AskApproveAll,
    AskRevoke,
    NewVoucher,
    Reject,
    RevokeNow,
    ShowBatch,
    ShowRequest,
    Vouchers,
)

_WANTED = "new_vouchers"
_TYPED = re.compile(
    r"(?P<amount>\S+)(?:\s+(?P<count>\d{1,9})(?:\s+(?P<days>\d{1,9}))?)?(?:\s+(?P<note>.*))?", re.DOTALL | re.ASCII
)


def handlers() -> tuple[Route, ...]:
    """Return what this feature answers to."""
    return (
        command("newvoucher", _newvoucher, administrators),
        press(NewVoucher, _ask, administrators),
        answer(_WANTED, _typed, administrators),
        command("vouchers", _vouchers, administrators),
        press(Vouchers, _page, administrators),
        press(ShowBatch, _batch, administrators),
        press(AskRevoke, _ask_revoke, administrators),
        press(RevokeNow, _revoke, administrators),
        command("requests", _requests, administrators),
        press(Requests, _oldest, administrators),
        press(ShowRequest, _request, administrators),
        press(Approve, _approve, administrators),
        press(Reject, _reject, administrators),
        press(AskApproveAll, _ask_approve_all, administrators),
        press(ApproveAll, _approve_all, administrators),
    )


# --- new ones


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was typed: worth in minor units, how many, for how many days if not for ever, and what for."""

    amount: int
    count: int = 1
    days: int | None = None
    note: str = ""

    @property
    def possible(self) -> bool:
        """Whether so many may be made for so long."""
        return 1 <= self.count <= MOST_AT_ONCE and (self.days is None or 1 <= self.days <= MOST_DAYS)


def parse(ctx: Context, text: str) -> Wanted:
    """Return what `10.00 25 30 for the meetup` asks for.

    Raises:
        InvalidAmount: it does not begin with an amount.
    """
    match = _TYPED.fullmatch(text.strip())
    words = match.groupdict() if match else {"amount": text}
    return Wanted(
        amount=ctx.terms.currency.parse(words["amount"] or ""),
        count=int(words.get("count") or 1),
        days=int(words["days"]) if words.get("days") else None,
        note=(words.get("note") or "").strip(),
    )


async def _newvoucher(ctx: Context, text: str) -> View:
    if not text:
        return await _ask(ctx, NewVoucher())
    wanted = parse(ctx, text)
    if not wanted.possible:
        return await _ask(ctx, NewVoucher(), views.out_of_bounds())
    async with ctx.database.transaction() as session:
        issued = await vouchers.issue(
            session,
            amount=wanted.amount,
            count=wanted.count,
            days=wanted.days,
            note=wanted.note,
            batch=ctx.operation,
            actor=ctx.customer.telegram_id,
            now=ctx.now,
        )
        await awaiting.forget(session, ctx.customer.telegram_id)
    return await _shown(ctx, issued)


async def _shown(ctx: Context, issued: Issued) -> View:
    chat_url, currency = ctx.services.chat_url, ctx.terms.currency
    if len(issued.codes) > 1:
        return views.many(issued, vouchers_file.table(issued, chat_url, currency), currency)
    (code,) = issued.codes
    picture = await asyncio.to_thread(vouchers_file.picture, code, chat_url)
    return views.one(issued, vouchers_file.link(code, chat_url), picture, currency)


async def _ask(ctx: Context, _: NewVoucher, problem: str = "") -> View:
    async with ctx.database.transaction() as session:
        await awaiting.ask(session, ctx, _WANTED)
    return views.ask_new(problem)


async def _typed(ctx: Context, given: Answer) -> View:
    return await _newvoucher(ctx, given.text)


# --- all of them


async def _vouchers(ctx: Context, _: str) -> View:
    return await _page(ctx, Vouchers())


async def _page(ctx: Context, press: Vouchers) -> View:
    number = max(press.page, 0)
    async with ctx.database.read() as session:
        found, more = await vouchers.batches(session, now=ctx.now, offset=number * BATCHES, limit=BATCHES)
    return views.listing(found, number, ctx.terms.currency, more=more)


async def _batch(ctx: Context, press: ShowBatch) -> View:
    number = max(press.page, 0)
    async with ctx.database.read() as session:
        batch, rows = await vouchers.batch_of(
            session, press.voucher_id, now=ctx.now, offset=number * VOUCHERS, limit=VOUCHERS
        )
    return views.batch(batch, rows, number, ctx.terms.currency, ctx.now)


async def _ask_revoke(ctx: Context, press: AskRevoke) -> View:
    async with ctx.database.read() as session:
        batch, _ = await vouchers.batch_of(session, press.voucher_id, now=ctx.now, limit=1)
    return views.ask_revoke(batch)


async def _revoke(ctx: Context, press: RevokeNow) -> View:
    async with ctx.database.transaction() as session:
        batch, _ = await vouchers.batch_of(session, press.voucher_id, now=ctx.now, limit=1)
        await vouchers.revoke(session, batch.first.batch, actor=ctx.customer.telegram_id, now=ctx.now)
    return await _batch(ctx, ShowBatch(voucher_id=press.voucher_id))


# --- requests


async def _requests(ctx: Context, _: str) -> View:
    return await _oldest(ctx, Requests())


async def _oldest(ctx: Context, _: Requests) -> View:
    async with ctx.database.read() as session:
        waiting = await voucher_requests.pending(session)
    return await _request(ctx, ShowRequest(request_id=waiting[0].id)) if waiting else views.no_requests()


async def _request(ctx: Context, press: ShowRequest) -> View:
    async with ctx.database.read() as session:
        found = await voucher_requests.get(session, press.request_id)
        waiting = await voucher_requests.pending(session)
    return views.request(found, waiting, ctx.terms.currency)


async def _approve(ctx: Context, press: Approve) -> View:
    return await _decide(ctx, press.request_id, approve=True)


async def _reject(ctx: Context, press: Reject) -> View:
    return await _decide(ctx, press.request_id, approve=False)


async def _decide(ctx: Context, request_id: int, *, approve: bool) -> View:
    """Decide a request, and show it as it is then, whoever decided it."""
    act = voucher_requests.approve if approve else voucher_requests.reject
    try:
        async with ctx.database.transaction() as session:
            await act(session, request_id, actor=ctx.customer.telegram_id, now=ctx.now)
    except Conflict:
        shown = await _request(ctx, ShowRequest(request_id=request_id))
        return shown.with_toast(views.decided_already())
    ctx.services.wake("money")
    ctx.services.wake("messages")
    return await _request(ctx, ShowRequest(request_id=request_id))


async def _ask_approve_all(ctx: Context, _: AskApproveAll) -> View:
    async with ctx.database.read() as session:
        waiting = await voucher_requests.pending(session)
    return views.ask_approve_all(waiting, ctx.terms.currency) if waiting else views.no_requests()


async def _approve_all(ctx: Context, press: ApproveAll) -> View:
    """Approve each in a transaction of its own: one that somebody rejects meanwhile does not stop the others."""
    async with ctx.database.read() as session:
        waiting = await voucher_requests.pending(session, up_to=press.up_to)
    approved = []
    for request in waiting:
        try:
            async with ctx.database.transaction() as session:
                done = await voucher_requests.approve(session, request.id, actor=ctx.customer.telegram_id, now=ctx.now)
        except Conflict:
            continue
        approved.append(done.amount)
    ctx.services.wake("money")
    ctx.services.wake("messages")
    return views.approved_all(len(approved), sum(approved), ctx.terms.currency)

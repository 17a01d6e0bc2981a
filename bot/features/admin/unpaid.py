"""Decides about the machines of somebody who could not be told (C12, rules.md 9.3)."""

from datetime import date

from billing.errors import Conflict
from bot.callbacks import OldButton
from bot.context import Context
from bot.guards import administrators
from bot.router import Route, press
from bot.view import View
from bot.views import admin_unpaid as views
from bot.views.admin_unpaid import DeleteUnpaid, DeleteUnpaidNow, GiveTime


def handlers() -> tuple[Route, ...]:
    """Return what this feature answers to."""
    return (
        press(DeleteUnpaid, _ask, administrators),
        press(DeleteUnpaidNow, _delete, administrators),
        press(GiveTime, _give, administrators),
    )


async def _ask(ctx: Context, press: DeleteUnpaid) -> View:
    try:
        case = await ctx.services.overdue.case(press.customer_id, _day(press.day))
    except Conflict:
        return views.decided()
    name = case.customer.name or str(case.customer.telegram_id)
    return views.question(name, case.names, case.found.total, press, ctx.terms.currency)


async def _delete(ctx: Context, press: DeleteUnpaidNow) -> View:
    try:
        names = await ctx.services.overdue.delete(press.customer_id, _day(press.day), actor=ctx.customer.telegram_id)
    except Conflict:
        return views.decided()
    ctx.services.wake("machines")
    ctx.services.wake("messages")
    return views.deleted(names)


async def _give(ctx: Context, press: GiveTime) -> View:
    try:
        until = await ctx.services.overdue.give_time(press.customer_id, _day(press.day), actor=ctx.customer.telegram_id)
    except Conflict:
        return views.decided()
    ctx.services.wake("messages")
    return views.postponed(until)


def _day(number: int) -> date:
    try:
        return views.day_of(number)
    except ValueError as error:
        raise OldButton(str(number)) from error

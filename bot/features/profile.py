"""Billing details, budget and language: what a person sets of themselves (C5)."""

from billing import invoices, profile
from billing.errors import InvalidAmount
from billing.models import Customer
from billing.profile import Field, TooLong
from bot import awaiting, i18n
from bot.callbacks import OldButton
from bot.context import Context
from bot.guards import everyone
from bot.router import Answer, Route, answer, press
from bot.view import View
from bot.views import profile as views
from bot.views.profile import AskBudget, AskField, ClearBudget, ClearField, Speak
from bot.views.settings import Billing, Budget, Languages

_FIELD = "billing"
_BUDGET = "budget"


def handlers() -> tuple[Route, ...]:
    """Return what this feature answers to."""
    return (
        press(Billing, _billing, everyone),
        press(AskField, _ask_field, everyone),
        press(ClearField, _clear_field, everyone),
        answer(_FIELD, _field_typed, everyone),
        press(Budget, _budget, everyone),
        press(AskBudget, _ask_budget, everyone),
        press(ClearBudget, _clear_budget, everyone),
        answer(_BUDGET, _budget_typed, everyone),
        press(Languages, _languages, everyone),
        press(Speak, _speak, everyone),
    )


async def _billing(ctx: Context, _: Billing) -> View:
    return views.billing(ctx.customer)


async def _ask_field(ctx: Context, press: AskField) -> View:
    return await _ask(ctx, press.field)


async def _ask(ctx: Context, field: Field, problem: str = "") -> View:
    async with ctx.database.transaction() as session:
        await awaiting.ask(session, ctx, _FIELD, {"field": field.value})
    return views.ask_field(field, views.now(ctx.customer, field), problem)


async def _field_typed(ctx: Context, given: Answer) -> View:
    field = Field(given.data["field"])
    if not profile.clean(given.text, lines=1):
        return await _ask(ctx, field, views.empty())
    try:
        return await _set_field(ctx, field, given.text)
    except TooLong:
        return await _ask(ctx, field, views.too_long(field))


async def _clear_field(ctx: Context, press: ClearField) -> View:
    return await _set_field(ctx, press.field, "")


async def _set_field(ctx: Context, field: Field, text: str) -> View:
    async with ctx.database.transaction() as session:
        customer = await profile.set_field(session, ctx.customer, field, text)
        await awaiting.forget(session, customer.telegram_id)
    return views.billing(customer)


async def _budget(ctx: Context, _: Budget) -> View:
    return await _show_budget(ctx, ctx.customer)


async def _show_budget(ctx: Context, customer: Customer) -> View:
    async with ctx.database.read() as session:
        month = await invoices.this_month(session, customer, now=ctx.now, terms=ctx.terms)
    return views.budget(customer.budget, month.total, ctx.terms.currency)


async def _ask_budget(ctx: Context, _: AskBudget) -> View:
    return await _ask_amount(ctx)


async def _ask_amount(ctx: Context, problem: str = "") -> View:
    async with ctx.database.transaction() as session:
        await awaiting.ask(session, ctx, _BUDGET)
    currency = ctx.terms.currency
    return views.ask_budget(currency.plain(50 * 10**currency.exponent), problem)


async def _budget_typed(ctx: Context, given: Answer) -> View:
    try:
        amount = ctx.terms.currency.parse(given.text)
    except InvalidAmount:
        return await _ask_amount(ctx, views.bad_amount(given.text))
    return await _set_budget(ctx, amount)


async def _clear_budget(ctx: Context, _: ClearBudget) -> View:
    return await _set_budget(ctx, None)


async def _set_budget(ctx: Context, amount: int | None) -> View:
    async with ctx.database.transaction() as session:
        customer = await profile.set_budget(session, ctx.customer, amount)
        await awaiting.forget(session, customer.telegram_id)
    return await _show_budget(ctx, customer)


async def _languages(ctx: Context, _: Languages) -> View:
    return views.languages(ctx.customer.language)


async def _speak(ctx: Context, press: Speak) -> View:
    if press.code not in i18n.LANGUAGES:
        raise OldButton(press.code)
    async with ctx.database.transaction() as session:
        await profile.set_language(session, ctx.customer, press.code)
    with i18n.speaking(press.code):
        return views.languages(press.code)

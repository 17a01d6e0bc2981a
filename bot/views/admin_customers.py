"""Customers as administrators see them: the list, one of them, and what can be done (B7, C18)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from billing import cards
from billing.corrections import LONGEST_REASON
from billing.ledger import Balances
from billing.models import Card, Customer, Notice, NoticeStatus
from billing.money import Currency
from bot.admin_links import AllDeployments, AllInvoices, AuditLog, ShowCustomer, Users
from bot.callbacks import Press, button
from bot.format import bold, code, day, escape, money, when
from bot.i18n import _, ngettext
from bot.links import Cancel
from bot.view import Button, Rows, View
from bot.views import problems
from bot.views.admin_words import panel, short, turn, who

PAGE = 8
"""Customers on one screen, and messages to one of them."""
_NOTICE_ERROR = 60
_SHOWN_NAMES = 30

SIGNS = {
    NoticeStatus.WAITING: "⏳",
    NoticeStatus.SENT: "✅",
    NoticeStatus.REFUSED: "🚫",
    NoticeStatus.PARKED: "⚠️",
    NoticeStatus.MOOT: "–",
}


@button("ba")
class SearchUsers(Press):
    """Type a name to look for."""


@button("bb")
class SetBlocked(Press):
    """Stop new deployments of a customer, or allow them again."""

    customer_id: int
    on: bool


@button("bc")
class AskLimit(Press):
    """Type a credit limit."""

    customer_id: int


@button("bd")
class AskCredit(Press):
    """Type an amount and a reason."""

    customer_id: int


@button("be")
class AskMessage(Press):
    """Type words for a customer."""

    customer_id: int


@button("bf")
class AskDeleteAllOf(Press):
    """Ask whether everything of a customer shall go."""

    customer_id: int


@button("bg")
class DeleteAllOf(Press):
    """It shall go."""

    customer_id: int


@button("bh")
class CardsOf(Press):
    """A customer's cards."""

    customer_id: int


@button("bi")
class NoticesOf(Press):
    """What was told to a customer."""

    customer_id: int
    page: int = 0


@dataclass(frozen=True, slots=True)
class Account:
    """A customer with all that their page tells; amounts in minor units.

    Attributes:
        customer: who.
        balances: what they have and owe.
        machines: active machines, `clusters` likewise.
        open_invoices: how many have something due.
        cards: that are not removed.
        limit: their credit limit, or the house's.
        is_admin: whether they run the business.
    """

    customer: Customer
    balances: Balances
    machines: int
    clusters: int
    open_invoices: int
    cards: int
    limit: int
    is_admin: bool


def listing(found: Sequence[Customer], of: Users, *, more: bool) -> View:
    """Return a page of customers."""
    search = Button(_("🔎 Search"), SearchUsers())
    back: Rows = ((search, panel()), (problems.home(),))
    if not found:
        text = _("👥 Nobody fits {text}.").format(text=code(of.text)) if of.text else _("👥 There is nobody yet.")
        return View(text, ((Button(_("👥 All customers"), Users()),), *back) if of.text else back)
    title = _("👥 Customers with {text}").format(text=code(of.text)) if of.text else _("👥 Customers, newest first")
    rows: Rows = tuple((Button(f"{_flags(row)}{who(row)}", ShowCustomer(customer_id=row.id)),) for row in found)
    pages = turn(
        Users(text=of.text, page=of.page - 1) if of.page else None,
        Users(text=of.text, page=of.page + 1) if more else None,
    )
    return View(title, (*rows, *pages, *back))


def _flags(customer: Customer) -> str:
    flags = (
        (customer.blocked_at, "⛔"),
        (customer.unreachable_at, "🔕"),
        (customer.closed_at, "⚪"),
    )
    return "".join(f"{sign} " for since, sign in flags if since is not None)


def ask_search() -> View:
    """Return the question whom to look for."""
    return View(
        _("🔎 Type a name, @name, number or e-mail address, or a part of it."), ((Button(_("✖️ Cancel"), Cancel()),),)
    )


def one(of: Account, currency: Currency) -> View:
    """Return a customer's page: money, what runs, state, and what can be done."""
    customer, have = of.customer, of.balances
    lines = [
        f"👤 {bold(who(customer))}",
        *_state(of),
        "",
        _("Voucher {voucher}, balance {balance}").format(
            voucher=bold(money(have.voucher, currency)), balance=bold(money(have.balance, currency))
        ),
        _debt(of, currency),
        _("Credit limit {amount}").format(amount=money(of.limit, currency))
        + ("" if customer.credit_limit is None else " " + _("(their own)")),
        _("Runs: {machines}, {clusters}; cards: {cards}").format(
            machines=ngettext("{count} machine", "{count} machines", of.machines).format(count=of.machines),
            clusters=ngettext("{count} cluster", "{count} clusters", of.clusters).format(count=of.clusters),
            cards=of.cards,
        ),
    ]
    return View("\n".join(lines), _rows(of))


def _debt(of: Account, currency: Currency) -> str:
    text = _("Owes {amount}").format(amount=bold(money(of.balances.receivable, currency)))
    if of.open_invoices:
        text += " " + ngettext("on {count} invoice", "on {count} invoices", of.open_invoices).format(
            count=of.open_invoices
        )
    if of.balances.receivable_pending:
        paying = money(of.balances.receivable_pending, currency)
        text += ", " + _("{amount} of it is being paid").format(amount=paying)
    return text


def _state(of: Account) -> list[str]:
    customer = of.customer
    lines = [_("Here since {day}, speaks {language}").format(day=day(customer.created_at), language=customer.language)]
    if customer.email:
        lines.append(f"✉️ {escape(customer.email)}")
    told: Sequence[tuple[datetime | None, str]] = (
        (customer.blocked_at, _("⛔ Blocked since {day}")),
        (customer.unreachable_at, _("🔕 Blocked the bot on {day}")),
        (customer.closed_at, _("⚪ Account closed on {day}")),
        (customer.spared_until, _("🕰 Nothing is deleted for debt before {day}")),
    )
    lines += [text.format(day=day(at)) for at, text in told if at is not None]
    if of.is_admin:
        lines.append(_("🔑 Administrator"))
    return lines


def _rows(of: Account) -> Rows:
    customer_id = of.customer.id
    blocked = of.customer.blocked_at is not None
    gone: Rows = ()
    if of.machines or of.clusters:
        gone = ((Button(_("🗑 Delete everything"), AskDeleteAllOf(customer_id=customer_id)),),)
    return (
        (
            Button(_("🖥 Deployments"), AllDeployments(customer_id=customer_id)),
            Button(_("🧾 Invoices"), AllInvoices(customer_id=customer_id)),
        ),
        (
            Button(_("💳 Cards"), CardsOf(customer_id=customer_id)),
            Button(_("📨 Messages"), NoticesOf(customer_id=customer_id)),
            Button(_("📜 Audit"), AuditLog(customer_id=customer_id)),
        ),
        (
            Button(_("🎁 Credit"), AskCredit(customer_id=customer_id)),
            Button(_("📏 Limit"), AskLimit(customer_id=customer_id)),
            Button(_("✉️ Write"), AskMessage(customer_id=customer_id)),
        ),
        (Button(_("✅ Unblock") if blocked else _("⛔ Block"), SetBlocked(customer_id=customer_id, on=not blocked)),),
        *gone,
        (Button(_("👥 Customers"), Users()), panel()),
    )


# --- questions


def ask_limit(customer: Customer, limit: int, currency: Currency) -> View:
    """Return the question for a credit limit."""
    return _ask(
        customer,
        _("📏 Credit limit of {name}: now {amount}. Type the new one, such as {example}.").format(
            name=bold(who(customer)),
            amount=money(limit, currency),
            example=code(f"/limit {customer.telegram_id} 300.00"),
        ),
    )


def ask_credit(customer: Customer) -> View:
    """Return the question for an amount and a reason."""
    return _ask(
        customer,
        _("🎁 Credit to {name}. Type amount and reason, such as {example}. They are told both.").format(
            name=bold(who(customer)), example=code("5.00 sorry for the outage")
        ),
    )


def ask_message(customer: Customer) -> View:
    """Return the question for words to a customer."""
    return _ask(customer, _("✉️ What shall I tell {name}?").format(name=bold(who(customer))))


def _ask(customer: Customer, text: str) -> View:
    return View(text, ((Button(_("✖️ Cancel"), ShowCustomer(customer_id=customer.id)),),))


def no_reason(customer: Customer) -> View:
    """Return that a correction needs a reason."""
    return _ask(
        customer,
        _("❌ A correction needs an amount and a reason of at most {count} characters: {example}").format(
            count=LONGEST_REASON, example=code(f"/credit {customer.telegram_id} 5.00 sorry for the outage")
        ),
    )


# --- done


def blocked(of: Account, currency: Currency) -> View:
    """Return the customer's page after they were blocked or allowed again."""
    name = bold(who(of.customer))
    if of.customer.blocked_at is not None:
        text = _("⛔ {name} is blocked: no new deployments; what runs goes on. They have been told.")
    else:
        text = _("✅ {name} is not blocked: they may deploy. They have been told.")
    return _with(text.format(name=name), of, currency)


def limited(of: Account, currency: Currency) -> View:
    """Return the customer's page after their limit was set."""
    text = _("📏 The credit limit of {name} is {amount}.").format(
        name=bold(who(of.customer)), amount=bold(money(of.limit, currency))
    )
    return _with(text, of, currency)


def credited(amount: int, of: Account, currency: Currency) -> View:
    """Return the customer's page after money was given."""
    text = _("🎁 {amount} credited to {name}. They have been told.").format(
        amount=bold(money(amount, currency)), name=bold(who(of.customer))
    )
    return _with(text, of, currency)


def told(of: Account, currency: Currency) -> View:
    """Return the customer's page after words to them were sent."""
    return _with(_("✉️ On its way to {name}.").format(name=bold(who(of.customer))), of, currency)


def deleted(count: int, of: Account, currency: Currency) -> View:
    """Return the customer's page after their deployments were deleted."""
    text = ngettext("🗑 {count} deployment is being deleted.", "🗑 {count} deployments are being deleted.", count)
    return _with(text.format(count=count), of, currency)


def _with(text: str, of: Account, currency: Currency) -> View:
    page = one(of, currency)
    return View(f"{text}\n\n{page.text}", page.rows)


def ask_delete_all(customer: Customer, names: Sequence[str]) -> View:
    """Return the one question before everything of a customer is lost."""
    shown = ", ".join(bold(name) for name in names[:_SHOWN_NAMES]) + (" …" if len(names) > _SHOWN_NAMES else "")
    text = ngettext(
        "Delete {count} deployment of {name} with its disks? They are told.",
        "Delete all {count} deployments of {name} with their disks? They are told.",
        len(names),
    )
    return View(
        text.format(count=len(names), name=bold(who(customer))) + f"\n{shown}",
        (
            (Button(_("🗑 Delete all of it"), DeleteAllOf(customer_id=customer.id)),),
            (Button(_("‹ Keep it"), ShowCustomer(customer_id=customer.id)),),
        ),
    )


# --- cards and messages


def cards_of(customer: Customer, mine: Sequence[Card], now: datetime) -> View:
    """Return a customer's cards; administrators see them and change nothing about them."""
    lines = [_("💳 Cards of {name}").format(name=bold(who(customer))), ""]
    lines += [_card(card, customer, now) for card in mine] or [_("None.")]
    return View("\n".join(lines), (_back(customer),))


def _card(card: Card, customer: Customer, now: datetime) -> str:
    parts = [f"{card.expiry_month:02d}/{card.expiry_year}", _("added {day}").format(day=day(card.added_at))]
    if card.id == customer.default_card_id:
        parts.append(_("charged first"))
    if cards.is_expired(card, now):
        parts.append(_("expired"))
    if card.declined_at is not None:
        parts.append(_("declined {day} ({code})").format(day=day(card.declined_at), code=escape(card.decline_code)))
    return f"{bold(cards.label(card))} – " + ", ".join(parts)


def notices_of(customer: Customer, notices: Sequence[Notice], page: int, *, more: bool) -> View:
    """Return what was told to a customer, newest first, and whether it arrived."""
    lines = [_("📨 Messages about {name}").format(name=bold(who(customer))), ""]
    lines += [_notice(notice) for notice in notices] or [_("None.")]
    pages = turn(
        NoticesOf(customer_id=customer.id, page=page - 1) if page else None,
        NoticesOf(customer_id=customer.id, page=page + 1) if more else None,
    )
    return View("\n".join(lines), (*pages, _back(customer)))


def _notice(notice: Notice) -> str:
    error = f" – {escape(notice.error[:_NOTICE_ERROR])}" if notice.error else ""
    kind = escape(notice.kind.replace("_", " "))
    return f"{SIGNS[notice.status]} {when(notice.created_at)} {kind} ({notice.channel.value}){error}"


def _back(customer: Customer) -> tuple[Button, ...]:
    return (Button(f"‹ {short(customer)}", ShowCustomer(customer_id=customer.id)), panel())

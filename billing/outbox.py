"""What must be told, written in the same transaction as the fact (rules.md 11)."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import ColumnElement, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from billing.models import BIG, Channel, Customer, Instant, Notice, NoticeStatus
from billing.sql import columns, inserting


async def tell(
    session: AsyncSession,
    customer: Customer,
    kind: str,
    data: dict[str, Any],
    *,
    now: datetime,
    dedup: str | None = None,
    mail: bool = False,
) -> None:
    """Tell a customer in the chat, and by mail too where asked and an address is confirmed.

    Args:
        session: the transaction of the fact.
        customer: whom to tell.
        kind: names the view that makes the words, `bot/views/notices.py`.
        data: facts for the view, JSON values only; amounts in minor units, instants as ISO text.
        now: when the fact happened.
        dedup: a fact that may be found twice is told once per channel.
        mail: it is important enough for a mail.
    """
    await _add(session, Channel.CHAT, kind, data, now, dedup, customer.id, customer.telegram_id)
    if mail and customer.email:
        await _add(session, Channel.MAIL, kind, data, now, dedup, customer.id, None)


async def tell_house(
    session: AsyncSession,
    kind: str,
    data: dict[str, Any],
    *,
    now: datetime,
    dedup: str | None = None,
    customer_id: int | None = None,
) -> None:
    """Tell every administrator in the chat."""
    await _add(session, Channel.CHAT, kind, data, now, dedup, customer_id, None)


async def copy_to(session: AsyncSession, notice: Notice, recipient: int) -> None:
    """Make a notice for the house one for one administrator's chat (Telegram id)."""
    dedup = f"{notice.dedup or notice.id}:{recipient}"
    await _add(session, Channel.CHAT, notice.kind, notice.data, notice.created_at, dedup, notice.customer_id, recipient)


async def by_mail_instead(session: AsyncSession, notice: Notice) -> None:
    """Send by mail what the chat refused; what goes there anyway goes once."""
    dedup = notice.dedup.removesuffix(f":{Channel.CHAT.value}") if notice.dedup else f"notice:{notice.id}"
    await _add(session, Channel.MAIL, notice.kind, notice.data, notice.created_at, dedup, notice.customer_id, None)


async def tell_many(
    session: AsyncSession,
    facts: sa.FromClause,
    kind: str,
    *,
    now: datetime,
    mail: bool = False,
) -> None:
    """Tell many customers by one statement a channel; as `tell`, but each fact has to be new.

    `facts` has the columns `customer_id`, `data` (made by `sql.json_object`) and `dedup`.
    """
    # Looked up rather than joined: SQLite, which keeps no statistics, might go through all customers.
    customer = Customer.id == facts.c.customer_id
    chat = select(Customer.telegram_id).where(customer).scalar_subquery()
    has_mail = select(Customer.id).where(customer, Customer.email.is_not(None)).exists()
    fixed: dict[str, ColumnElement[object]] = {
        "customer_id": facts.c.customer_id,
        "kind": sa.literal(kind),
        "data": facts.c.data,
        "created_at": sa.literal(now, Instant()),
        "send_at": sa.literal(now, Instant()),
        "status": sa.literal(NoticeStatus.WAITING.value),
        "attempts": sa.literal(0),
        "error": sa.literal(""),
    }
    for channel, recipient in (
        (Channel.CHAT, chat),
        *([(Channel.MAIL, sa.cast(sa.null(), BIG))] if mail else []),
    ):
        names, values = columns(
            fixed
            | {
                "channel": sa.literal(channel.value),
                "recipient": recipient,
                "dedup": facts.c.dedup + sa.literal(f":{channel.value}"),
            }
        )
        rows = select(*values).select_from(facts)
        if channel is Channel.MAIL:
            rows = rows.where(has_mail)
        await session.execute(inserting(session, Notice).from_select(names, rows, include_defaults=False))


async def _add(
    session: AsyncSession,
    channel: Channel,
    kind: str,
    data: dict[str, Any],
    now: datetime,
    dedup: str | None,
    customer_id: int | None,
    recipient: int | None,
) -> None:
    dialect = session.get_bind().dialect.name
    statement = sqlite.insert(Notice) if dialect == "sqlite" else postgresql.insert(Notice)
    await session.execute(
        statement.values(
            dedup=f"{dedup}:{channel.value}" if dedup else None,
            customer_id=customer_id,
            channel=channel,
            recipient=recipient,
            kind=kind,
            data=data,
            created_at=now,
            send_at=now,
            status=NoticeStatus.WAITING,
            attempts=0,
            error="",
        ).on_conflict_do_nothing(index_elements=[Notice.dedup])
    )

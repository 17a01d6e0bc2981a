"""How migrations run: on the connection that bot.migrate hands over, or, for the `alembic` command, on a new one."""

import asyncio
from typing import Literal

import sqlalchemy as sa
from alembic import context
from alembic.autogenerate.api import AutogenContext
from sqlalchemy import Connection

import bot.models
import cloud.models
from billing.models import BIG, Base, Instant, MonthNumber
from bot import migrate
from bot.settings import DatabaseSettings

MODELS = (bot.models, cloud.models)
"""Imported for their tables."""


def write_type(kind: str, item: object, _: AutogenContext) -> str | Literal[False]:
    """Return how a migration writes a column's type: as stored, so that it stands when the models move on."""
    if kind != "type":
        return False
    if item is BIG:
        return "BIG"
    stored = {Instant: "sa.BigInteger()", MonthNumber: "sa.Integer()", sa.JSON: "JSON"}
    if isinstance(item, sa.Enum):
        return f"sa.String({item.length})"
    return stored.get(type(item), False)


def run(connection: Connection) -> None:
    options = context.config.attributes.get("options", {})
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_item=write_type,
        transactional_ddl=True,
        **({"render_as_batch": connection.dialect.name == "sqlite"} | options),
    )
    with context.begin_transaction():
        context.run_migrations()


async def run_on_new_connection() -> None:
    async with migrate.locked(DatabaseSettings.load().database) as connection:
        await connection.run_sync(run)


given = context.config.attributes.get("connection")
if given is None:
    asyncio.run(run_on_new_connection())
else:
    run(given)

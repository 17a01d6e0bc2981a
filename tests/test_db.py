"""The database: who waits for whom, and what it holds by itself."""

from sqlalchemy import select

from billing.db import Database
from billing.models import HOUSE_KINDS, Account


async def test_a_fresh_database_has_the_houses_accounts(database: Database) -> None:
    async with database.read() as session:
        kinds = list(await session.scalars(select(Account.kind).where(Account.customer_id.is_(None))))
    assert sorted(kinds) == sorted(HOUSE_KINDS)

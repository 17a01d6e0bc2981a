"""A shop of any size, made by SQL on both databases: customers, what they run, what they have."""

from datetime import UTC, datetime

import sqlalchemy as sa

from billing import ledger
from billing.db import Database
from bot import migrate

PER_CUSTOMER = 5
"""Deployments of each customer."""
NOW = datetime(2026, 1, 20, 12, tzinfo=UTC)
"""When the shop stands still; its machines were started in the sixty days before. What was before
January is invoiced, and nothing of January is metered."""

_SERIES = "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < :count)"
# Deployments of all customers in turn, as they come in life: nobody's rows lie side by side.
_OWNER = "(n * 7919) % :customers + 1"
_STARTED = ":now - 3600 - (n * 7919) % (60 * 86400)"

_CUSTOMERS = f"""
INSERT INTO customers (telegram_id, username, name, language, created_at, legacy, billing_name, billing_address,
                       billing_tax_id, email)
{_SERIES} SELECT 1000000 + n, 'user' || n, 'Customer ' || n, 'en', {_STARTED}, false, '', '', '',
                 CASE WHEN n % 2 = 0 THEN 'user' || n || '@example.com' END
FROM s"""

_ACCOUNTS = """
INSERT INTO accounts (customer_id, kind, posted, reserved)
SELECT id, kind, CASE kind WHEN 'receivable' THEN 0 WHEN 'voucher' THEN :funds ELSE 5 * :funds END, 0
FROM customers CROSS JOIN (SELECT 'voucher' AS kind UNION ALL SELECT 'balance' UNION ALL SELECT 'receivable') AS kinds
ORDER BY id"""

_SUBSCRIPTIONS = f"""
INSERT INTO subscriptions (customer_id, name, item, workers, monthly, created_at)
{_SERIES} SELECT {_OWNER}, 'web-' || n, 'vm-small', 0, 500 + n % 7 * 100, {_STARTED} FROM s"""

_INTERVALS = f"""
INSERT INTO intervals (subscription_id, customer_id, started_at, billed_from)
{_SERIES} SELECT n, {_OWNER}, {_STARTED}, {_STARTED} FROM s"""

_DEPLOYMENTS = f"""
INSERT INTO deployments (customer_id, subscription_id, kind, name, size, public, workers, state, power, reboot_wanted,
                         detail, created_at, deadline_at, ready_at, kubeconfig, leased_by, attempts)
{_SERIES} SELECT {_OWNER}, n, 'vm', 'web-' || n, 'small', false, 0, 'success', 'on', false, '', {_STARTED},
                 {_STARTED} + 900, {_STARTED}, '', '', 0
FROM s"""

_NODES = f"""
INSERT INTO nodes (deployment_id, role, position, machine, host, port, private_ip, host_key, host_key_fingerprint,
                   created_at, asked_at, seen_at)
{_SERIES} SELECT n, 'vm', 0, 'vmbot-' || n, '198.51.100.7', 22, '10.0.0.7', 'key', 'SHA256:key', {_STARTED},
                 {_STARTED}, :now
FROM s"""

_KEYS = """
INSERT INTO ssh_keys (customer_id, public_key, fingerprint, comment, added_at)
SELECT id, 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGl0F3H5gpDYqm5VYcKkGnbQSvMXAVfQjZ3SQFJbk4vX', 'SHA256:key', '', :now
FROM customers"""


_MONTHS = """
INSERT INTO month_runs (month, finished_at) VALUES (202512, :now)"""
_WATERMARK = """
INSERT INTO watermarks (name, until) VALUES ('meter', 1767225600)"""


async def shop(url: str, deployments: int, *, funds: int = 2_500) -> None:
    """Make a migrated database with so many running deployments.

    Args:
        url: of an empty database.
        deployments: how many; there is a customer to five.
        funds: voucher money of each customer, in minor units, and a fifth of their balance: both together pay a month.
    """
    await migrate.upgrade(url)
    customers = max(1, deployments // PER_CUSTOMER)
    values = {"now": int(NOW.timestamp()), "customers": customers, "funds": funds}
    database = Database(url)
    async with database.transaction() as session:
        if database.is_sqlite:
            await session.execute(sa.text("PRAGMA cache_size = -1000000"))  # of this connection only
        await ledger.open_house(session)
        for statement in (
            _CUSTOMERS,
            _ACCOUNTS,
            _SUBSCRIPTIONS,
            _INTERVALS,
            _DEPLOYMENTS,
            _NODES,
            _KEYS,
            _MONTHS,
            _WATERMARK,
        ):
            count = customers if statement is _CUSTOMERS else deployments
            words = sa.text(statement)
            mine = {key: value for key, value in (values | {"count": count}).items() if f":{key}" in statement}
            await session.execute(words.bindparams(*(sa.bindparam(key, type_=sa.BigInteger()) for key in mine)), mine)
    await analyze(database)
    await database.close()


async def analyze(database: Database) -> None:
    """Let PostgreSQL count its rows, as its autovacuum does in life; SQLite goes without, as the product does."""
    if not database.is_sqlite:
        async with database.engine.connect() as connection:
            await (await connection.execution_options(isolation_level="AUTOCOMMIT")).exec_driver_sql("VACUUM ANALYZE")

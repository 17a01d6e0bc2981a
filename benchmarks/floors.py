"""The work of the product as SQL written by hand for one database with one purpose: what could hardly be faster.

Each writes all the rows that the product writes, in one transaction, and asks nothing that the product has to ask.
"""

from datetime import datetime
from string import Template

from billing.clock import Month
from billing.db import Database

_PLACE = "row_number() OVER (ORDER BY t.customer_id)"
_SPELLED = {
    True: {
        "MAX(": "max(",
        "MIN(": "min(",
        "OBJECT(": "json_object(",
        "ARRAY(": "json_array(",
        "NUMBER": f"printf('%06d', {_PLACE})",
    },
    False: {
        "MAX(": "greatest(",
        "MIN(": "least(",
        "OBJECT(": "jsonb_build_object(",
        "ARRAY(": "jsonb_build_array(",
        "NUMBER": f"lpad(({_PLACE})::text, 6, '0')",
    },
}

_METER = """
INSERT INTO usage (month, customer_id, subscription_id, hours, metered_until, late)
SELECT $month, customer_id, subscription_id,
       ($until - MAX(billed_from, $start) + 3599) / 3600, $until, false
FROM intervals WHERE ended_at IS NULL AND billed_from < $until ORDER BY customer_id, subscription_id
ON CONFLICT (month, customer_id, subscription_id)
DO UPDATE SET hours = excluded.hours, metered_until = excluded.metered_until"""

_COST = "MAX((2 * s.monthly * MIN(u.hours, 672) + 672) / 1344, 1)"
_MINE = "customer_id = i.customer_id AND kind = 'receivable'"
_ISSUED = "FROM invoices i WHERE i.month = $month"
_MONTH = (
    f"""
INSERT INTO invoices (kind, number, customer_id, month, issued_at, net, tax_basis_points, tax, total, seller, buyer,
                      due, disputed, by_hand, due_since)
SELECT 'invoice', 'INV-2026-' || NUMBER, t.customer_id,
       $month, $now, net, 0, 0, net, OBJECT('name', '', 'address', '', 'tax_id', ''),
       OBJECT('name', c.name, 'address', c.billing_address, 'tax_id', c.billing_tax_id), net, 0, 0, $now
FROM (SELECT u.customer_id, sum({_COST}) AS net FROM usage u JOIN subscriptions s ON s.id = u.subscription_id
      WHERE u.month = $month GROUP BY u.customer_id) t JOIN customers c ON c.id = t.customer_id
ORDER BY t.customer_id""",
    f"""
INSERT INTO invoice_lines (invoice_id, position, subscription_id, month, name, item, workers, hours, monthly, capped,
                           amount)
SELECT i.id, row_number() OVER (PARTITION BY u.customer_id ORDER BY u.subscription_id), u.subscription_id, u.month,
       s.name, s.item, s.workers, u.hours, s.monthly, u.hours > 672, {_COST}
FROM usage u JOIN invoices i ON i.customer_id = u.customer_id AND i.month = u.month AND i.kind = 'invoice'
JOIN subscriptions s ON s.id = u.subscription_id WHERE u.month = $month""",
    f"""
INSERT INTO transfers (operation, phase, debit_id, credit_id, amount, created_at, reason, note, invoice_id)
SELECT 'issue:' || i.id, 'posted', (SELECT id FROM accounts WHERE {_MINE}),
       (SELECT id FROM accounts WHERE customer_id IS NULL AND kind = 'revenue'), i.total, $now, 'issue', '', i.id
{_ISSUED} ORDER BY i.id""",
    """
UPDATE accounts SET posted = posted + (SELECT total FROM invoices i WHERE i.customer_id = accounts.customer_id
                                       AND i.month = $month AND i.kind = 'invoice')
WHERE kind = 'receivable' AND customer_id IN (SELECT customer_id FROM invoices WHERE month = $month)""",
    *(
        f"""
INSERT INTO notices (dedup, customer_id, channel, recipient, kind, data, created_at, send_at, status, attempts, error)
SELECT 'invoice:' || i.id || ':issued:{channel}', i.customer_id, '{channel}', {recipient}, 'invoice_issued',
       OBJECT('invoice_id', i.id, 'number', i.number, 'month', '2026-01', 'total', i.total, 'waits', 0),
       $now, $now, 'waiting', 0, ''
FROM invoices i JOIN customers c ON c.id = i.customer_id WHERE i.month = $month{only} ORDER BY i.id"""
        for channel, recipient, only in (
            ("chat", "c.telegram_id", ""),
            ("mail", "CAST(NULL AS BIGINT)", " AND c.email IS NOT NULL"),
        )
    ),
    f"""
INSERT INTO settlement_wishes (customer_id, cards, wanted_at, reason)
SELECT i.customer_id, true, $now, 'issue' {_ISSUED} ORDER BY i.customer_id""",
    "INSERT INTO number_series (series, year, last) SELECT 'INV', 2026, count(*) FROM invoices WHERE month = $month",
    "INSERT INTO month_runs (month, finished_at) VALUES ($month, $now)",
)

_OPEN = "FROM invoices i WHERE i.due > 0"
_HAVE = "(SELECT posted FROM accounts WHERE customer_id = i.customer_id AND kind = 'voucher')"
_LOWERED = """
UPDATE accounts SET posted = posted - moved.amount
FROM (SELECT {side}_id AS id, sum(amount) AS amount FROM transfers WHERE reason = 'settle' GROUP BY {side}_id) AS moved
WHERE accounts.id = moved.id"""
_SETTLE = (
    *(
        f"""
INSERT INTO transfers (operation, phase, debit_id, credit_id, amount, created_at, reason, note, invoice_id)
SELECT 'settle:' || i.id || ':{place}', 'posted',
       (SELECT id FROM accounts WHERE customer_id = i.customer_id AND kind = '{kind}'),
       (SELECT id FROM accounts WHERE {_MINE}), {amount}, $now, 'settle', '', i.id
{_OPEN} AND {amount} > 0 ORDER BY i.id"""
        for place, kind, amount in ((1, "voucher", f"MIN(i.due, {_HAVE})"), (2, "balance", f"(i.due - {_HAVE})"))
    ),
    f"""
INSERT INTO notices (dedup, customer_id, channel, recipient, kind, data, created_at, send_at, status, attempts, error)
SELECT 'invoice:' || i.id || ':paid:' || $now || ':chat', i.customer_id, 'chat', c.telegram_id, 'invoice_paid',
       OBJECT('invoice_id', i.id, 'number', i.number, 'total', i.total, 'sources', ARRAY(
           OBJECT('source', 'voucher', 'amount', MIN(i.due, {_HAVE}), 'card', ''),
           OBJECT('source', 'balance', 'amount', MAX(i.due - {_HAVE}, 0), 'card', ''))), $now, $now, 'waiting', 0, ''
FROM invoices i JOIN customers c ON c.id = i.customer_id WHERE i.due > 0 ORDER BY i.id""",
    _LOWERED.format(side="debit"),
    _LOWERED.format(side="credit"),
    "UPDATE invoices SET due = 0, paid_at = $now WHERE due > 0",
    "DELETE FROM settlement_wishes",
)


async def meter(database: Database, month: Month, until: datetime) -> None:
    """Meter all running intervals in one month."""
    start = int(month.start.timestamp())
    await _run(database, (_METER,), month=month.number, until=int(until.timestamp()), start=start)


async def issue(database: Database, month: Month, now: datetime) -> None:
    """Invoice a month that is metered."""
    await _run(database, _MONTH, month=month.number, now=int(now.timestamp()))


async def settle(database: Database, now: datetime) -> None:
    """Pay all open invoices from voucher and balance, which suffice."""
    await _run(database, _SETTLE, now=int(now.timestamp()))


async def _run(database: Database, statements: tuple[str, ...], **values: int) -> None:
    async with database.transaction() as session:
        connection = await session.connection()
        for statement in statements:
            words = Template(statement).substitute(values)
            for name, spelled in _SPELLED[database.is_sqlite].items():
                words = words.replace(name, spelled)
            await connection.exec_driver_sql(words)

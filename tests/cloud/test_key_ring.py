"""A customer's SSH keys."""

import asyncssh
import pytest

from billing.clock import ManualClock
from billing.db import Database
from cloud import key_ring
from cloud.key_ring import MAX_KEYS, TooManyKeys
from tests.billing.builders import make_customer


async def test_only_so_many_keys_fit(sqlite_database: Database, clock: ManualClock) -> None:
    lines = [asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode() for _ in range(MAX_KEYS + 1)]
    async with sqlite_database.transaction() as session:
        customer, other = await make_customer(session), await make_customer(session)
        for line in lines[:-1]:
            await key_ring.add(session, customer, line, now=clock.now())
        with pytest.raises(TooManyKeys):
            await key_ring.add(session, customer, lines[-1], now=clock.now())
        await key_ring.add(session, customer, lines[0], now=clock.now())
        await key_ring.add(session, other, lines[-1], now=clock.now())
        mine = await key_ring.listed(session, customer)
        await key_ring.remove(session, customer, mine[0].id)
        await key_ring.add(session, customer, lines[-1], now=clock.now())
        assert len(await key_ring.listed(session, customer)) == MAX_KEYS

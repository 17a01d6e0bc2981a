"""`python -m bot import FILE`: users, machines and vouchers of the former system taken over, each once.

Who comes by the link in their mail finds their machines: `cloud/former.py`. Importing a newer copy of the file adds
what is new in it, for users who have not come yet.
"""

import csv
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from billing import catalog, vouchers
from billing.catalog import Item
from billing.db import Database
from billing.models import Kind, Voucher
from billing.money import Currency
from bot import former_system
from bot.former_system import FormerSystem, Machine, User
from bot.settings import CannotStart
from cloud.former import SYSTEM
from cloud.models import FormerMachine, FormerUser
from cloud.names import BadName, check

_NAME, _EMAIL = 256, 254


class CannotImport(CannotStart):
    """Nothing was taken over; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Worth:
    """What one machine and one public address of a quota or a voucher are worth as a voucher here, minor units."""

    machine: int | None = None
    address: int | None = None


@dataclass(frozen=True, slots=True)
class NewUser:
    """Somebody to be taken over, with what their vouchers and quota are worth."""

    user: User
    funds: int


@dataclass(slots=True)
class Plan:
    """What an import would write; `vouchers` are those that are nobody's own, with their worth."""

    users: list[NewUser] = field(default_factory=list)
    machines: list[tuple[Machine, int]] = field(default_factory=list)
    vouchers: list[tuple[former_system.Voucher, int]] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Whether all is here already."""
        return not (self.users or self.machines or self.vouchers)

    def summary(self, currency: Currency) -> list[str]:
        """Return what is taken over, in lines for the operator."""
        funds = sum(new.funds for new in self.users)
        monthly = sum(cost for _, cost in self.machines)
        clusters = sum(machine.kind is Kind.K8S for machine, _ in self.machines)
        lines = [
            f"{len(self.users)} users, with vouchers and quota worth {currency.plain(funds)} {currency.code.upper()}",
            f"{len(self.machines) - clusters} machines and {clusters} clusters, {currency.plain(monthly)} a month",
            f"{len(self.vouchers)} vouchers that are nobody's own",
        ]
        return lines + [f"left: {line}" for line in self.left]


async def run(
    database: Database,
    path: Path,
    *,
    worth: Worth,
    codes: Path | None,
    currency: Currency,
    now: datetime,
    dry: bool,
) -> Plan:
    """Take over what is in a file and not here yet, in one transaction; return what that was.

    Args:
        database: where it goes.
        path: the former system's database.
        worth: what its quota and vouchers are worth.
        codes: a new file for the codes of vouchers that are nobody's own.
        currency: the house's.
        now: prices are those of this instant.
        dry: only say what would be done.

    Raises:
        CannotImport: something is missing; nothing was written.
        NotReadable: the file is not such a database.
    """
    source = former_system.read(path)
    async with database.transaction() as session:
        plan = await make_plan(session, source, worth=worth, currency=currency, now=now)
        if plan.vouchers and codes is None:
            raise CannotImport(f"--codes FILE: expected a new file for the codes of {len(plan.vouchers)} vouchers")
        if not dry:
            await _write(session, plan, codes, currency, now)
    return plan


async def make_plan(
    session: AsyncSession, source: FormerSystem, *, worth: Worth, currency: Currency, now: datetime
) -> Plan:
    """Return what of a source is not here yet, at the prices of now.

    Raises:
        CannotImport: machines or addresses are counted there, and nobody said what they are worth.
    """
    known = {user.former_id: user for user in await session.scalars(select(FormerUser))}
    have = {(machine.kind, machine.former_id) for machine in await session.scalars(select(FormerMachine))}
    batches = set(await session.scalars(select(Voucher.batch).where(Voucher.batch.startswith("former-voucher:"))))
    prices = await catalog.price_list(session, now)
    plan = Plan(left=list(source.left))
    for user in source.users:
        if user.id not in known:
            own = [voucher for voucher in source.vouchers if voucher.user_id == user.id]
            plan.users.append(NewUser(user, _funds(user, own, worth, currency)))
    for machine in source.machines:
        if (machine.kind, machine.id) in have:
            continue
        owner = known.get(machine.user_id)
        if owner is not None and owner.customer_id is not None:
            plan.left.append(f"{machine.kind.value} {machine.name}: made after its owner came")
        else:
            plan.machines.append((machine, _monthly(machine, prices)))
    plan.vouchers += [
        (voucher, _worth_of(voucher, worth, currency))
        for voucher in source.vouchers
        if not voucher.user_id and _batch(voucher) not in batches and _worth_of(voucher, worth, currency)
    ]
    return plan


def _funds(user: User, own: Iterable[former_system.Voucher], worth: Worth, currency: Currency) -> int:
    vouchers_ = sum(_worth_of(voucher, worth, currency) for voucher in own)
    return vouchers_ + _counted(user.machines, user.addresses, worth)


def _worth_of(voucher: former_system.Voucher, worth: Worth, currency: Currency) -> int:
    if voucher.balance:
        return currency.parse(str(voucher.balance))
    return _counted(voucher.machines, voucher.addresses, worth)


def _counted(machines: int, addresses: int, worth: Worth) -> int:
    total = 0
    for count, each, option in (
        (machines, worth.machine, "--machine-worth"),
        (addresses, worth.address, "--address-worth"),
    ):
        if count and each is None:
            raise CannotImport(f"{option} AMOUNT: expected what one is worth: vouchers or quota there count in them")
        total += count * (each or 0)
    return total


def _monthly(machine: Machine, prices: Mapping[Item, int]) -> int:
    """Return what all nodes cost a month together; an item that is not sold has no price.

    Raises:
        CannotImport: there is no price for one of them.
    """
    total = 0
    for node in machine.nodes:
        item = Item(machine.kind, node.size, node.public)
        if item not in prices:
            raise CannotImport(f"{item} has no price: set one with /setprice first")
        total += prices[item]
    return total


def _batch(voucher: former_system.Voucher) -> str:
    return f"former-voucher:{voucher.id}"


async def _write(session: AsyncSession, plan: Plan, codes: Path | None, currency: Currency, now: datetime) -> None:
    session.add_all(
        FormerUser(
            former_id=new.user.id,
            email=new.user.email[:_EMAIL],
            name=new.user.name[:_NAME],
            public_key=new.user.public_key,
            funds=new.funds,
            imported_at=now,
            mail_at=now,
        )
        for new in plan.users
    )
    await session.flush()
    ids = {user.former_id: user.id for user in await session.scalars(select(FormerUser))}
    session.add_all(_machine(machine, monthly, ids[machine.user_id], now) for machine, monthly in plan.machines)
    made = []
    for voucher, amount in plan.vouchers:
        issued = await vouchers.issue(
            session, amount=amount, note="from the former system", batch=_batch(voucher), actor=SYSTEM, now=now
        )
        made.append((voucher.code, issued.codes[0], currency.plain(amount)))
    await session.flush()
    if codes is not None and made:
        _write_codes(codes, made)


def _machine(machine: Machine, monthly: int, user_id: int, now: datetime) -> FormerMachine:
    first = machine.nodes[0]
    return FormerMachine(
        former_user_id=user_id,
        kind=machine.kind,
        former_id=machine.id,
        name=_named(machine),
        size=first.size,
        public=first.public,
        monthly=monthly,
        made_of={"nodes": [{"role": node.role.value, "name": node.name, "host": node.host} for node in machine.nodes]},
        created_at=machine.created_at or now,
    )


def _named(machine: Machine) -> str:
    """Return a name that a deployment can have, the nearest to what it was called."""
    try:
        return check(machine.name)
    except BadName as bad:
        return bad.suggestion or f"{machine.kind.value}-{machine.id}"


def _write_codes(path: Path, made: Iterable[tuple[str, str, str]]) -> None:
    """Write what nobody can be told again: a new file that only its owner can read.

    Raises:
        CannotImport: it exists, or cannot be written.
    """
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise CannotImport(f"--codes {path}: {error.strerror}") from error
    with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("former_code", "code", "amount"))
        writer.writerows(made)

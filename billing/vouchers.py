"""Vouchers (rules.md 8): made as codes, redeemed once, taken back while nobody has.

A code is random, shown to who made it, and stored only as its SHA-256. No key is mixed in, and the hash is not a slow
one: both protect what can be guessed, and 100 random bits cannot. A key would be one more secret to lose, and with it
every code that was given away.
"""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import Select, and_, delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from billing import accounts, audit, ledger, wishes
from billing.clock import DAY, HOUR
from billing.errors import NotFound
from billing.ledger import About, Side
from billing.models import AccountKind, Customer, Voucher, VoucherAttempt

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base 32: no I, L, O that look like digits, and no U."""
_LETTERS, _GROUP = 20, 4
"""20 letters of 5 bits are 100 bits; rules.md 8.1 asks for 80."""
_LOOK_ALIKES = str.maketrans("OIL", "011")

MOST_AT_ONCE = 500
"""Vouchers of one act: a mistyped count is noticed before it costs a fortune."""
MOST_DAYS = 3650
_NOTE = 200
_HINT = 4

WRONG_CODES = 10
STOPPED_FOR = HOUR
"""So many wrong codes within an hour stop a customer for an hour (rules.md 8.2)."""


class Answer(StrEnum):
    """What becomes of a code that somebody typed; told apart as far as is safe (rules.md 8.2).

    Who redeemed a code is told so. To everybody else, one that was used or taken back is as unknown as one that
    never was. That a code has expired is told to who holds it: it can do no harm any more, and they know whom to ask.
    """

    REDEEMED = "redeemed"
    YOURS = "yours"
    UNKNOWN = "unknown"
    EXPIRED = "expired"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Redemption:
    """The answer to a code.

    Attributes:
        answer: what became of it.
        amount: its worth in minor units, where it is the customer's or was until it expired.
        at: when it was redeemed, ran out, or when codes are taken again; by the answer.
        left: wrong codes that are still allowed.
    """

    answer: Answer
    amount: int = 0
    at: datetime | None = None
    left: int = 0


@dataclass(frozen=True, slots=True)
class Issued:
    """Vouchers just made; the codes are known here and never again."""

    vouchers: tuple[Voucher, ...]
    codes: tuple[str, ...]


# --- codes


def new_code() -> str:
    """Return a new random code, `7K2M-9QXA-…`."""
    return _grouped("".join(secrets.choice(ALPHABET) for _ in range(_LETTERS)))


def normalise(text: str) -> str | None:
    """Return the code that a person meant: any case, with or without hyphens and blanks, O for 0, I and L for 1.

    A whole deep link, `…?start=v_CODE`, is taken as well. `None` when it cannot be a code.
    """
    bare = "".join(letter for letter in text.rpartition("_")[2] if letter.isalnum())
    if not bare.isascii():
        return None
    bare = bare.upper().translate(_LOOK_ALIKES)
    return _grouped(bare) if len(bare) == _LETTERS and set(bare) <= set(ALPHABET) else None


def hash_of(code: str) -> str:
    """Return what is stored of a code."""
    return hashlib.sha256(code.encode()).hexdigest()


def _grouped(letters: str) -> str:
    return "-".join(letters[start : start + _GROUP] for start in range(0, len(letters), _GROUP))


# --- making


async def issue(
    session: AsyncSession,
    *,
    amount: int,
    count: int = 1,
    days: int | None = None,
    note: str = "",
    batch: str,
    actor: int,
    now: datetime,
) -> Issued:
    """Make vouchers and return them with their codes.

    When this batch was made before, and its answer may have been lost with the process, what nobody has redeemed of
    it is taken back: the codes of then are known to nobody who can still tell them.

    Args:
        session: the transaction of the act.
        amount: worth of each, minor units.
        count: 1 to `MOST_AT_ONCE`.
        days: after so many days, at midnight UTC, they can no longer be redeemed; `None`: they always can.
        note: what they are for; shown to administrators only.
        batch: names the act.
        actor: Telegram id of the administrator.
        now: when.
    """
    await _revoke(session, batch, now)
    codes = tuple(new_code() for _ in range(count))
    expires_at = last_instant(now, days) if days is not None else None
    made = tuple(
        Voucher(
            code_hash=hash_of(code),
            hint=code[-_HINT:],
            amount=amount,
            expires_at=expires_at,
            note=note[:_NOTE],
            batch=batch,
            created_by=actor,
            created_at=now,
        )
        for code in codes
    )
    session.add_all(made)
    await session.flush()
    audit.record(
        session,
        "issue_vouchers",
        actor=actor,
        now=now,
        batch=batch,
        count=count,
        amount=amount,
        note=note[:_NOTE],
        expires_at=expires_at.isoformat() if expires_at else None,
    )
    return Issued(made, codes)


def last_instant(now: datetime, days: int) -> datetime:
    """Return the midnight that ends the last day of a voucher made now for so many days."""
    return now.replace(hour=0, minute=0, second=0, microsecond=0) + (days + 1) * DAY


async def revoke(session: AsyncSession, batch: str, *, actor: int, now: datetime) -> int:
    """Take back what nobody has redeemed of a batch, and return how many vouchers that were."""
    gone = await _revoke(session, batch, now)
    if gone:
        audit.record(session, "revoke_vouchers", actor=actor, now=now, batch=batch, count=gone)
    return gone


async def _revoke(session: AsyncSession, batch: str, now: datetime) -> int:
    done = await session.scalars(
        update(Voucher)
        .where(Voucher.batch == batch, Voucher.redeemed_at.is_(None), Voucher.revoked_at.is_(None))
        .values(revoked_at=now)
        .returning(Voucher.id)
        .execution_options(synchronize_session=False)
    )
    return len(done.all())


# --- redeeming


async def redeem(session: AsyncSession, customer: Customer, text: str, *, now: datetime) -> Redemption:
    """Redeem what a customer typed, and wish that their dues be settled with it (A4); opened by an edge.

    Nothing is raised for a wrong code, since that it was wrong must be remembered by the same transaction.
    """
    customer = await accounts.lock(session, customer.id)
    until = await stopped_until(session, customer.id, now)
    if until is not None:
        return Redemption(Answer.STOPPED, at=until)
    code = normalise(text)
    voucher = None
    if code is not None:
        wanted = select(Voucher).where(Voucher.code_hash == hash_of(code))
        voucher = (await session.scalars(wanted)).one_or_none()
    if voucher is None:
        return await _wrong(session, customer, Redemption(Answer.UNKNOWN), now)
    if await take(session, customer, voucher, now=now):
        return Redemption(Answer.REDEEMED, voucher.amount, now)
    await session.refresh(voucher)
    if voucher.redeemed_by == customer.id:
        return Redemption(Answer.YOURS, voucher.amount, voucher.redeemed_at)
    expired = voucher.redeemed_at is None and voucher.revoked_at is None
    wrong = Redemption(Answer.EXPIRED, voucher.amount, voucher.expires_at) if expired else Redemption(Answer.UNKNOWN)
    return await _wrong(session, customer, wrong, now)


async def take(session: AsyncSession, customer: Customer, voucher: Voucher, *, now: datetime) -> bool:
    """Move a voucher's money to a customer, once ever; false when it cannot be redeemed (any more).

    The database decides who of many was first: the row is changed only as long as nobody has redeemed it.
    """
    taken = await session.scalar(
        update(Voucher)
        .where(
            Voucher.id == voucher.id,
            Voucher.redeemed_at.is_(None),
            Voucher.revoked_at.is_(None),
            or_(Voucher.expires_at.is_(None), Voucher.expires_at > now),
        )
        .values(redeemed_by=customer.id, redeemed_at=now)
        .returning(Voucher.id)
        .execution_options(synchronize_session=False)
    )
    if taken is None:
        return False
    await ledger.transfer(
        session,
        operation=f"voucher:{voucher.id}",
        debit=Side(AccountKind.VOUCHERS_ISSUED),
        credit=Side(AccountKind.VOUCHER, customer.id),
        amount=voucher.amount,
        about=About("redeem", voucher_id=voucher.id),
        now=now,
    )
    await wishes.wish(session, customer.id, cards=False, reason="voucher_redeemed", now=now)
    return True


async def stopped_until(session: AsyncSession, customer_id: int, now: datetime) -> datetime | None:
    """Return until when a customer's codes are not looked at; `None` when they are."""
    tries = await _tries(session, customer_id)
    if len(tries) < WRONG_CODES or tries[0] - tries[-1] >= STOPPED_FOR:
        return None
    until = tries[0] + STOPPED_FOR
    return until if now < until else None


async def _tries(session: AsyncSession, customer_id: int) -> Sequence[datetime]:
    """Return the instants of the last wrong codes, newest first."""
    mine = select(VoucherAttempt.at).where(VoucherAttempt.customer_id == customer_id)
    return (await session.scalars(mine.order_by(VoucherAttempt.id.desc()).limit(WRONG_CODES))).all()


async def _wrong(session: AsyncSession, customer: Customer, answer: Redemption, now: datetime) -> Redemption:
    """Remember a wrong code; under the customer's lock, so that many at once are counted one by one."""
    mine = VoucherAttempt.customer_id == customer.id
    await session.execute(delete(VoucherAttempt).where(mine, VoucherAttempt.at <= now - STOPPED_FOR))
    session.add(VoucherAttempt(customer_id=customer.id, at=now))
    await session.flush()
    made = await session.scalar(select(func.count()).where(mine)) or 0
    return Redemption(answer.answer, answer.amount, answer.at, max(WRONG_CODES - made, 0))


# --- reading, for administrators


class State(StrEnum):
    """Where a voucher stands."""

    OPEN = "open"
    REDEEMED = "redeemed"
    EXPIRED = "expired"
    REVOKED = "revoked"


def state(voucher: Voucher, now: datetime) -> State:
    """Return where a voucher stands."""
    if voucher.redeemed_at is not None:
        return State.REDEEMED
    if voucher.revoked_at is not None:
        return State.REVOKED
    expired = voucher.expires_at is not None and voucher.expires_at <= now
    return State.EXPIRED if expired else State.OPEN


@dataclass(frozen=True, slots=True)
class Batch:
    """Vouchers that were made by one act.

    Attributes:
        first: the first of them, which stands for the batch in buttons, with what all of them share.
        count: how many there are, `redeemed` how many of them were redeemed.
        open: how many can be redeemed now.
    """

    first: Voucher
    count: int
    redeemed: int
    open: int


def _grouped_batches(now: datetime) -> Select[int, int, int, int]:
    """Return, for each batch, its first voucher, and how many it has, were redeemed, and can be."""
    can_be = and_(
        Voucher.redeemed_at.is_(None),
        Voucher.revoked_at.is_(None),
        or_(Voucher.expires_at.is_(None), Voucher.expires_at > now),
    )
    return select(
        func.min(Voucher.id), func.count(), func.count(Voucher.redeemed_at), func.count().filter(can_be)
    ).group_by(Voucher.batch)


async def batches(session: AsyncSession, *, now: datetime, offset: int = 0, limit: int = 8) -> tuple[list[Batch], bool]:
    """Return batches, newest first, and whether older ones follow."""
    grouped = _grouped_batches(now).order_by(func.min(Voucher.id).desc()).offset(offset).limit(limit + 1)
    rows = (await session.execute(grouped)).all()
    found = [
        Batch(await session.get_one(Voucher, first), int(count), int(redeemed), int(open_))
        for first, count, redeemed, open_ in rows[:limit]
    ]
    return found, len(rows) > limit


async def batch_of(
    session: AsyncSession, voucher_id: int, *, now: datetime, offset: int = 0, limit: int = 15
) -> tuple[Batch, list[tuple[Voucher, Customer | None]]]:
    """Return the batch that a voucher belongs to, and a page of it with who redeemed which.

    Raises:
        NotFound: there is no such voucher.
    """
    voucher = await session.get(Voucher, voucher_id)
    if voucher is None:
        raise NotFound("voucher", voucher_id)
    of = _grouped_batches(now).where(Voucher.batch == voucher.batch)
    first, count, redeemed, open_ = (await session.execute(of)).one()
    rows = await session.execute(
        select(Voucher, Customer)
        .outerjoin(Customer, Customer.id == Voucher.redeemed_by)
        .where(Voucher.batch == voucher.batch)
        .order_by(Voucher.id)
        .offset(offset)
        .limit(limit)
    )
    batch = Batch(await session.get_one(Voucher, first), int(count), int(redeemed), int(open_))
    return batch, [(row, who) for row, who in rows]

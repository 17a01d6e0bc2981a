"""What is sold and its dated prices (rules.md 3.1, 3.2)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType

from sqlalchemy import ColumnElement, case, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from billing import audit
from billing.errors import Conflict, NotFound
from billing.models import Kind, Price, Quote, Subscription
from billing.money import Currency

SIZES = ("small", "medium", "large")
"""Smallest first."""

_PUBLIC = "public"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_MACHINE = MappingProxyType({"small": 500, "medium": 1000, "large": 2000})
_FIRST_EXTRA = 100
"""Starting prices in minor units of any currency: a machine by its size; a node of a cluster, and a public address,
cost this much more."""


@dataclass(frozen=True, slots=True)
class Item:
    """One thing in the price list.

    Attributes:
        kind: machine, or node of a cluster.
        size: one of `SIZES`.
        public: with an address of its own; for a cluster, its control plane has it.
    """

    kind: Kind
    size: str
    public: bool = False

    @classmethod
    def parse(cls, code: str) -> "Item":
        """Return the item of a catalogue code.

        Raises:
            NotFound: nothing of that code is sold.
        """
        try:
            return _BY_CODE[code]
        except KeyError:
            raise NotFound("item", code) from None

    @property
    def code(self) -> str:
        """The catalogue code: `vm-small`, `k8s-large-public`."""
        return "-".join((self.kind.value, self.size, *((_PUBLIC,) if self.public else ())))

    @property
    def worker(self) -> "Item":
        """What a worker of a cluster of this item is priced as: never public."""
        return Item(self.kind, self.size)

    def __str__(self) -> str:
        """Return the code."""
        return self.code


ITEMS = tuple(Item(kind, size, public) for kind in Kind for size in SIZES for public in (False, True))
"""All that is sold, in the order of the price list."""

_BY_CODE = {item.code: item for item in ITEMS}


@dataclass(frozen=True, slots=True)
class Effect:
    """What setting a price of an item would leave as it is (C14).

    Attributes:
        item: the item.
        current: monthly price now, none when it was never priced.
        kept: live deployments that keep what they were sold at, by that monthly price per machine or node.
    """

    item: Item
    current: int | None
    kept: Mapping[int, int] = field(default_factory=dict)

    @property
    def keeping(self) -> int:
        """How many deployments keep their price."""
        return sum(self.kept.values())


async def price_list(session: AsyncSession, now: datetime) -> dict[Item, int]:
    """Return the monthly price of everything that can be bought now, in the order of the price list.

    An item that was never priced is left out: it cannot be bought.
    """
    newest = (
        select(
            Price.item,
            Price.monthly,
            func.row_number()
            .over(partition_by=Price.item, order_by=(Price.valid_from.desc(), Price.id.desc()))
            .label("place"),
        )
        .where(Price.valid_from <= now)
        .subquery()
    )
    rows = await session.execute(select(newest.c.item, newest.c.monthly).where(newest.c.place == 1))
    found = {code: monthly for code, monthly in rows}  # noqa: C416 a Row is no tuple to the type checker
    return {item: found[item.code] for item in ITEMS if item.code in found}


async def price(session: AsyncSession, item: Item, now: datetime) -> int | None:
    """Return the monthly price of an item now, none when it was never priced."""
    return await session.scalar(
        select(Price.monthly)
        .where(Price.item == item.code, Price.valid_from <= now)
        .order_by(Price.valid_from.desc(), Price.id.desc())
        .limit(1)
    )


async def history(session: AsyncSession, item: Item) -> list[Price]:
    """Return all prices that an item ever had, newest first."""
    return list(
        await session.scalars(
            select(Price).where(Price.item == item.code).order_by(Price.valid_from.desc(), Price.id.desc())
        )
    )


async def set_price(
    session: AsyncSession, item: Item, monthly: int, *, operation: str, actor: int, now: datetime
) -> Price:
    """Set the monthly price of an item for new deployments (rules.md 3.2, A19); the same operation again does nothing.

    Args:
        session: the transaction.
        item: what is priced.
        monthly: minor units, positive, a multiple of the currency's step.
        operation: of the tap that set it.
        actor: Telegram id of the administrator.
        now: from when it counts.

    Raises:
        Conflict: the operation set another price before.
    """
    old = await price(session, item, now)
    row = await _add(session, item, monthly, operation=operation, actor=actor, now=now)
    if row is None:
        return await _existing(session, item, monthly, operation)
    audit.record(session, "set_price", actor=actor, now=now, item=item.code, old=old, new=monthly)
    return row


async def by_operation(session: AsyncSession, operation: str) -> Price | None:
    """Return the price that an operation set, if it did."""
    return await session.scalar(select(Price).where(Price.operation == operation))


async def effect(session: AsyncSession, item: Item, now: datetime) -> Effect:
    """Return what keeps its price when this item gets another one (C14)."""
    sold = (
        select(_sold_at(item).label("monthly"))
        .select_from(Subscription)
        .outerjoin(Quote, Quote.id == Subscription.quote_id)
        .where(Subscription.ended_at.is_(None), _uses(item))
        .subquery()
    )
    rows = await session.execute(select(sold.c.monthly, func.count()).group_by(sold.c.monthly))
    kept = {monthly: count for monthly, count in rows}  # noqa: C416 a Row is no tuple to the type checker
    return Effect(item, await price(session, item, now), dict(sorted(kept.items())))


async def ensure_defaults(session: AsyncSession, currency: Currency) -> None:
    """Give every item a starting price, so that a fresh product sells at once; what has one keeps it."""
    for item in ITEMS:
        extras = (item.kind is Kind.K8S) + item.public
        amount = currency.round_half_up(_FIRST_MACHINE[item.size] + extras * _FIRST_EXTRA, 1)
        await _add(session, item, amount, operation=f"default:{item.code}", actor=None, now=_EPOCH)


async def _add(
    session: AsyncSession, item: Item, monthly: int, *, operation: str, actor: int | None, now: datetime
) -> Price | None:
    """Insert a price; `None` when its operation exists already."""
    dialect = session.get_bind().dialect.name
    statement = sqlite.insert(Price) if dialect == "sqlite" else postgresql.insert(Price)
    return (
        await session.scalars(
            statement.values(operation=operation, item=item.code, monthly=monthly, valid_from=now, set_by=actor)
            .on_conflict_do_nothing(index_elements=[Price.operation])
            .returning(Price)
        )
    ).one_or_none()


async def _existing(session: AsyncSession, item: Item, monthly: int, operation: str) -> Price:
    row = (await session.scalars(select(Price).where(Price.operation == operation))).one()
    if (row.item, row.monthly) != (item.code, monthly):
        raise Conflict(f"operation {operation} set another price")
    return row


def _uses(item: Item) -> ColumnElement[bool]:
    """Whether a subscription has a machine or node of this item: workers of a public cluster are not public."""
    own = Subscription.item == item.code
    if item.kind is Kind.VM or item.public:
        return own
    return own | (Subscription.item == Item(item.kind, item.size, public=True).code) & (Subscription.workers > 0)


def _sold_at(item: Item) -> ColumnElement[int]:
    """The price of one machine or node of this item; what was adopted without a quote has only a whole price."""
    return case(
        (Quote.id.is_(None), Subscription.monthly),
        (Subscription.item == item.code, Quote.control_monthly),
        else_=Quote.worker_monthly,
    )

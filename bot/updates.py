"""Updates from Telegram: stored before they are acknowledged, handled in order per user, users side by side.

The library acknowledges an update when it has fetched it. A process that dies then would lose it, so the update is
a row first, and the row is marked when it has been handled. Any number of processes share the rows; what one leaves
is handled by another, or by itself when it is back.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any
from weakref import WeakValueDictionary

from sqlalchemy import (
    ColumnElement,
    Exists,
    Row,
    Select,
    String,
    and_,
    bindparam,
    delete,
    exists,
    func,
    literal,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased
from telegram import Bot, Update
from telegram.ext import BaseUpdateProcessor

from billing import leases, sql
from billing.clock import DAY, Clock
from billing.db import Database
from billing.models import Instant
from bot import shapes
from bot.models import ChatUpdate

log = logging.getLogger(__name__)

_earlier = aliased(ChatUpdate, name="earlier")

_AT_ONCE = 256
"""Updates handled at the same time."""
_IN_HAND = 256
"""Updates that a process claims: what it is at, and a little more. What comes beyond waits in the database for
whoever has room, and is no suspect when this process dies."""
_SUSPECT = 10
"""An update that was waiting or in hand at so many crashes may be their cause: such are handled one at a time."""
_ATTEMPTS = 20
"""One that was at so many is left alone: far more than a bad day's kills, which are not its fault, and an end to a
start that can never succeed."""
_OLDER_VERSION = timedelta(minutes=1)
_LANES = 0x6C616E65 << 32
"""Where the numbers of our advisory locks on PostgreSQL begin; "lane" in ASCII."""
_NOBODY = -1
"""The lane of updates that have neither chat nor person."""
_KEEP = 3 * DAY
"""Telegram repeats an update for a day at most; handled rows are kept longer so that a repeat is known."""


def _held_up(earlier: ColumnElement[bool], owner: ColumnElement[str]) -> Exists:
    """Return whether such an earlier update is in the lane, or another process has any of the lane in hand."""
    others = and_(_earlier.leased_by.is_not(None), _earlier.leased_by != owner)
    return exists().where(
        _earlier.lane == ChatUpdate.lane,
        _earlier.handled_at.is_(None),
        or_(and_(_earlier.id < ChatUpdate.id, earlier), and_(_earlier.id != ChatUpdate.id, others)),
    )


# Made once: it takes longer to write them than to answer them.
_IDS, _OWNER = ChatUpdate.id.in_(bindparam("ids", expanding=True)), bindparam("owner", type_=String())
_WAIT = (
    update(ChatUpdate)
    .where(_IDS, _held_up(_earlier.leased_by.is_distinct_from(_OWNER), _OWNER))
    .values(leased_by=None)
    .returning(ChatUpdate.id)
    .execution_options(synchronize_session=False)
)
_TELL = (
    update(ChatUpdate)
    .where(_IDS, ChatUpdate.leased_by == _OWNER)
    .values(handled_at=bindparam("at", type_=Instant()), payload={}, leased_by=None)
    .execution_options(synchronize_session=False)
)


class UpdateStore:
    """The rows of updates, and the queue of those that this process has in hand.

    A row is claimed by writing the process' name into it, and stays so while the process lives. In a lane (a chat)
    nobody claims a row while another process has an earlier one in hand: so order holds across processes.
    """

    def __init__(self, database: Database, clock: Clock, owner: str = "") -> None:
        """Start with an empty queue; `take` fills it with what others left."""
        self._database = database
        self._clock = clock
        self._owner = owner or leases.new_owner()
        self._mine: dict[int, int] = {}
        """Lanes of the updates in hand, by the updates' ids."""
        self._suspects: set[int] = set()
        self._ended: set[int] = set()
        """Handled, and the database is not told yet."""
        self._telling = asyncio.Lock()
        self._stopping = False
        self._left_some = False
        self.queue: asyncio.Queue[object] = asyncio.Queue()
        self.on_room: Callable[[], None] = lambda: None
        """Called when there is room for updates that had to wait."""

    async def add(self, payloads: Sequence[dict[str, Any]], bot: Bot) -> None:
        """Store updates as they came, and queue those that are new and ours; returns when they are safe."""
        updates = {payload["update_id"]: _read(payload, bot) for payload in payloads}
        room = 0 if self._stopping else max(0, _IN_HAND - len(self._mine))
        # In hand before they are stored: whoever looks for rows that we lost sight of must not take these for such.
        wanted = {key: _lane(found) for key, found in updates.items() if found is not None and key not in self._mine}
        ours = dict(sorted(wanted.items())[:room])
        self._left_some = self._left_some or len(ours) < len(wanted)
        self._mine |= ours
        claimed: set[int] = set()
        try:
            claimed = await self._insert(payloads, {key: _lane(found) for key, found in updates.items()}, ours)
        finally:
            for key in ours.keys() - claimed:
                self._mine.pop(key, None)
        for key in sorted(claimed):
            await self.queue.put(updates[key])

    async def _insert(
        self, payloads: Sequence[dict[str, Any]], lanes: Mapping[int, int], ours: Collection[int]
    ) -> set[int]:
        """Write rows; return which are new and claimed by us."""
        now = self._clock.now()
        rows = [
            {
                "id": payload["update_id"],
                "payload": payload if lanes[payload["update_id"]] else {},
                "lane": lanes[payload["update_id"]],
                "received_at": now,
                # What cannot be read is kept from coming again, and no more.
                "handled_at": None if lanes[payload["update_id"]] else now,
                "attempts": 0,
                "leased_by": self._owner if payload["update_id"] in ours else None,
            }
            for payload in {payload["update_id"]: payload for payload in payloads}.values()
        ]
        async with self._database.transaction() as session:
            await self._hold_lanes(session, {row["lane"] for row in rows})
            # Rows beside the statement, not in it: one that holds them is compiled anew each time.
            insert = sql.inserting(session, ChatUpdate).on_conflict_do_nothing().returning(sql.table(ChatUpdate).c.id)
            new = set((await session.execute(insert, rows)).scalars()) & set(ours)
            if not new:
                return new
            return new - set(await session.scalars(_WAIT, {"ids": new, "owner": self._owner}))

    async def _hold_lanes(self, session: AsyncSession, lanes: Collection[int]) -> None:
        """Have other processes that add to these lanes wait for our end; SQLite has one writer at a time anyway."""
        if not self._database.is_sqlite:
            numbers = func.unnest(postgresql.array([_LANES ^ lane for lane in sorted(lanes)])).column_valued()
            await session.execute(select(func.pg_advisory_xact_lock(numbers)))

    async def take(self, bot: Bot) -> None:
        """Queue what nobody has in hand and has no earlier one in its lane: left by another process, or by the dead.

        Those that were in hand at several deaths come one by one: one of them may be the cause.
        """
        for update_id in sorted(self._ended):
            await self.done(update_id, bot)
        room = _IN_HAND - len(self._mine)
        if self._stopping or room <= 0:
            return
        async with self._database.read() as session:
            if await session.scalar(self._free().limit(1)) is None:
                return
        async with self._database.transaction() as session:
            rows = list(
                await session.scalars(self._free().limit(room).with_for_update(skip_locked=True, of=ChatUpdate))
            )
            taken = [row for row in rows if self._keep(row)]
            self._left_some = len(rows) == room
        for row in taken:
            await self._queue(row.id, row.payload, bot)

    def _free(self) -> Select[ChatUpdate]:
        # An older version's process has it in memory, and no name in it; it is given a minute.
        known = or_(ChatUpdate.lane.is_not(None), ChatUpdate.received_at < self._clock.now() - _OLDER_VERSION)
        suspects = [ChatUpdate.attempts < _SUSPECT] if self._suspects else []
        lost_sight_of = and_(ChatUpdate.leased_by == self._owner, ChatUpdate.id.not_in(self._mine))
        return (
            select(ChatUpdate)
            .where(ChatUpdate.handled_at.is_(None), or_(and_(ChatUpdate.leased_by.is_(None), known), lost_sight_of))
            .where(~_held_up(true(), literal(self._owner)), *suspects)
            .order_by(ChatUpdate.id)
        )

    def _keep(self, row: ChatUpdate) -> bool:
        """Claim a row, or leave it for later, or alone."""
        if row.attempts >= _ATTEMPTS:
            log.error("update %s was in hand at %s crashes: left alone", row.id, row.attempts)
            row.handled_at = self._clock.now()
            return False
        if row.attempts >= _SUSPECT:
            if self._suspects:
                return False
            self._suspects.add(row.id)
        row.leased_by = self._owner
        self._mine[row.id] = row.lane or 0
        return True

    async def forget(self) -> None:
        """Remove rows that Telegram will not repeat any more."""
        async with self._database.transaction() as session:
            await session.execute(delete(ChatUpdate).where(ChatUpdate.handled_at < self._clock.now() - _KEEP))

    async def _queue(self, update_id: int, payload: dict[str, Any], bot: Bot) -> None:
        update = _read(payload, bot)
        if update is None:
            await self.done(update_id, bot)
        else:
            await self.queue.put(update)

    def waiting(self, lane: int) -> int:
        """Return how many updates of a lane are in hand here."""
        return sum(other == lane for other in self._mine.values())

    def is_mine(self, update_id: int) -> bool:
        """Return whether an update from the queue is still to be handled here."""
        return update_id in self._mine and not self._stopping

    async def done(self, update_id: int, bot: Bot) -> None:
        """Mark an update as handled; what people typed, a voucher's code for one, is kept no longer than needed."""
        lane = self._mine.get(update_id, 0)
        self._ended.add(update_id)
        following = None
        if self._database.is_sqlite:
            await self._tell_together(update_id)
        else:
            async with self._database.transaction() as session:
                await self._tell(session, {update_id})
                following = await self._following(session, lane)
            self._ended.discard(update_id)
        self._mine.pop(update_id, None)
        if update_id in self._suspects or (self._left_some and len(self._mine) < _IN_HAND // 2):
            self.on_room()
        self._suspects.discard(update_id)
        if following is not None:
            self._mine[following.id] = lane
            await self._queue(following.id, following.payload, bot)

    async def _tell_together(self, update_id: int) -> None:
        """Mark all that has been handled in one transaction: whoever waited for its turn finds that it was marked.

        SQLite has one writer, and each of its commits waits for the disk.
        """
        async with self._telling:
            if update_id not in self._ended:
                return
            together = set(self._ended)
            async with self._database.transaction() as session:
                await self._tell(session, together)
            self._ended -= together

    async def _tell(self, session: AsyncSession, update_ids: Collection[int]) -> None:
        told = {"ids": list(update_ids), "owner": self._owner, "at": self._clock.now()}
        await session.execute(_TELL, told)

    async def _following(self, session: AsyncSession, lane: int) -> Row[int, dict[str, Any]] | None:
        """Claim what another process has added to a lane behind ours, without waiting for the next look."""
        if self._stopping:
            return None
        next_id = select(func.min(_earlier.id)).where(_earlier.lane == lane, _earlier.handled_at.is_(None))
        claim = update(ChatUpdate).where(
            ChatUpdate.id == next_id.scalar_subquery(), ChatUpdate.leased_by.is_(None), ChatUpdate.attempts < _SUSPECT
        )
        claimed = claim.values(leased_by=self._owner).returning(ChatUpdate.id, ChatUpdate.payload)
        return (await session.execute(claimed)).one_or_none()

    def lost(self) -> None:
        """Drop what is queued: others took us for dead, and have it in hand. What has begun is finished."""
        self._mine.clear()
        self._suspects.clear()

    def stop(self) -> None:
        """Begin nothing more."""
        self._stopping = True

    async def give_back(self) -> None:
        """Let others handle what was not."""
        async with self._database.transaction() as session:
            for update_id in self._ended:
                ended = {"handled_at": self._clock.now(), "payload": {}}
                await session.execute(
                    update(ChatUpdate).where(ChatUpdate.id == update_id, ChatUpdate.handled_at.is_(None)).values(ended)
                )
            held = update(ChatUpdate).where(ChatUpdate.leased_by == self._owner, ChatUpdate.handled_at.is_(None))
            await session.execute(held.values(leased_by=None))


def _read(payload: dict[str, Any], bot: Bot) -> Update | None:
    """Return an update, or none for what is none: refused, it would come for ever."""
    try:
        shapes.check(payload)
        return Update.de_json(payload, bot)
    except Exception as error:  # noqa: BLE001 whatever the library makes of a shape that it does not know
        log.warning("update %s cannot be read: %s", payload.get("update_id"), error)
        return None


def _lane(update: Update | None) -> int:
    """Return what an update must stay in order with: its chat, or its person; 0 for what cannot be read."""
    if update is None:
        return 0
    if update.effective_chat is not None:
        return update.effective_chat.id
    return update.effective_user.id if update.effective_user else _NOBODY


class InOrderPerUser(BaseUpdateProcessor):
    """Handles the updates of one lane one after the other, of different lanes at the same time."""

    def __init__(self, store: UpdateStore) -> None:
        """Take the store that is told what has been handled."""
        super().__init__(max_concurrent_updates=_AT_ONCE)
        self._store = store
        self._locks: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()
        self._busy: set[asyncio.Task[Any]] = set()

    async def do_process_update(self, update: object, coroutine: Awaitable[Any]) -> None:
        """Wait for this lane's earlier updates (asyncio's locks are first come, first served), then handle."""
        assert isinstance(update, Update)  # noqa: S101 what the store queues
        lock = self._locks.setdefault(_lane(update), asyncio.Lock())
        async with lock:
            if not self._store.is_mine(update.update_id):
                if asyncio.iscoroutine(coroutine):
                    coroutine.close()
                return
            handling = asyncio.ensure_future(coroutine)
            self._busy.add(handling)
            try:
                await handling
            except asyncio.CancelledError:
                if handling.cancelled():
                    return  # cut off: it is given back
                raise
            finally:
                self._busy.discard(handling)
            try:
                await self._store.done(update.update_id, update.get_bot())
            except Exception as error:  # noqa: BLE001 whatever a database that is away raises; a driver has errors of its own
                log.warning("update %s is handled; the database is told later: %s", update.update_id, error)

    def cut_off(self) -> None:
        """Break off what is still being handled."""
        for task in self._busy:
            task.cancel()

    async def initialize(self) -> None:
        """Nothing to prepare."""

    async def shutdown(self) -> None:
        """Nothing to let go of."""

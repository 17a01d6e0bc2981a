"""Where the objects live: in memory, and in a small SQLite file when a directory is given."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

from bot.demo.stripe.errors import Json, invalid, missing, only

_MAX_PAGE, _PAGE = 100, 10
_CURSORS = frozenset({"created", "ending_before", "limit", "starting_after"})


class Store:
    """Objects by kind and id, oldest first. A key that begins with `_` is ours and never leaves the server."""

    def __init__(self, directory: Path | None = None) -> None:
        self._kinds: dict[str, dict[str, Json]] = {}
        self._dirty: dict[tuple[str, str], None] = {}
        self._file: sqlite3.Connection | None = None
        if directory is not None:
            self._open(directory)

    def _open(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._file = sqlite3.connect(directory / "stripe.sqlite3", isolation_level=None, check_same_thread=False)
        self._file.execute("PRAGMA journal_mode=WAL")
        self._file.execute(
            "CREATE TABLE IF NOT EXISTS objects "
            "(seq INTEGER PRIMARY KEY, kind TEXT, id TEXT, body TEXT, UNIQUE (kind, id))"
        )
        for kind, object_id, body in self._file.execute("SELECT kind, id, body FROM objects ORDER BY seq"):
            self._kinds.setdefault(kind, {})[object_id] = json.loads(body)

    def close(self) -> None:
        """Write what is left and let go of the file."""
        self.flush()
        if self._file is not None:
            self._file.close()
            self._file = None

    def put(self, kind: str, object_id: str, body: Json) -> None:
        """Keep a new object, or note that one was changed."""
        self._kinds.setdefault(kind, {})[object_id] = body
        self._dirty[kind, object_id] = None

    def save(self, body: Json) -> Json:
        """`put` for an object that says itself what it is."""
        self.put(body["object"], body["id"], body)
        return body

    def drop(self, kind: str, object_id: str) -> None:
        """Forget an object."""
        self._kinds.get(kind, {}).pop(object_id, None)
        self._dirty[kind, object_id] = None

    def flush(self) -> None:
        """Make everything since the last call durable, in one transaction."""
        dirty, self._dirty = list(self._dirty), {}
        if self._file is None or not dirty:
            return
        self._file.execute("BEGIN IMMEDIATE")
        for kind, object_id in dirty:
            body = self._kinds.get(kind, {}).get(object_id)
            if body is None:
                self._file.execute("DELETE FROM objects WHERE kind = ? AND id = ?", (kind, object_id))
            else:
                self._file.execute(
                    "INSERT INTO objects (kind, id, body) VALUES (?, ?, ?) "
                    "ON CONFLICT (kind, id) DO UPDATE SET body = excluded.body",
                    (kind, object_id, json.dumps(body)),
                )
        self._file.execute("COMMIT")

    def get(self, kind: str, object_id: str) -> Json | None:
        """The object, or None."""
        return self._kinds.get(kind, {}).get(object_id)

    def need(self, kind: str, object_id: str, *, param: str = "id", status: int = 400) -> Json:
        """The object; ApiError `resource_missing` if there is none."""
        found = self.get(kind, object_id)
        if found is None:
            raise missing(kind.rsplit(".", maxsplit=1)[-1].replace("_", " "), object_id, param=param, status=status)
        return found

    def any(self, object_id: str) -> Json | None:
        """The object with this id, of whatever kind."""
        return next((kind[object_id] for kind in self._kinds.values() if object_id in kind), None)

    def every(self, kind: str) -> Iterator[Json]:
        """All objects of a kind, oldest first; safe to change while going through."""
        return iter(list(self._kinds.get(kind, {}).values()))

    def page(
        self,
        kind: str,
        url: str,
        params: Json,
        *,
        by: tuple[str, ...] = (),
        takes: tuple[str, ...] = (),
        keep: Callable[[Json], bool] = lambda _: True,
    ) -> Json:
        """A list answer: newest first, with Stripe's cursors, limits and `created` filter.

        Args:
            kind: what is listed.
            url: the address of the list.
            params: those of the request; one that is not named here is refused, not ignored.
            by: parameters that a row's field of that name must equal.
            takes: further parameters that `keep` looks at.
            keep: which rows belong to the list at all.
        """
        only(params, _CURSORS | {*by, *takes})
        rows = [
            row
            for row in self.every(kind)
            if keep(row)
            and all(params.get(name) in {None, row.get(name)} for name in by)
            and _created(row, params.get("created"))
        ]
        rows.reverse()
        return paginate(rows, url, params)


def paginate(rows: list[Json], url: str, params: Json) -> Json:
    """One page of `rows` as a `list` object."""
    limit = params.get("limit", _PAGE)
    if not 1 <= limit <= _MAX_PAGE:
        raise invalid(f"Invalid integer: must be between 1 and {_MAX_PAGE}", param="limit")
    after, before = params.get("starting_after"), params.get("ending_before")
    if after and before:
        raise invalid("You may only specify one of these parameters: ending_before, starting_after.")
    if after:
        rows = rows[_position(rows, after, "starting_after") + 1 :]
        more = len(rows) > limit
        rows = rows[:limit]
    elif before:
        rows = rows[: _position(rows, before, "ending_before")]
        more = len(rows) > limit
        rows = rows[-limit:]
    else:
        more = len(rows) > limit
        rows = rows[:limit]
    return {"object": "list", "data": rows, "has_more": more, "url": url}


def _position(rows: list[Json], object_id: str, param: str) -> int:
    for n, row in enumerate(rows):
        if row["id"] == object_id:
            return n
    raise missing("object", object_id, param=param)


def _created(row: Json, wanted: object) -> bool:
    if wanted is None:
        return True
    at = row["created"]
    if isinstance(wanted, int):
        return bool(at == wanted)
    tests: dict[str, Callable[[int], bool]] = {
        "gt": lambda limit: at > limit,
        "gte": lambda limit: at >= limit,
        "lt": lambda limit: at < limit,
        "lte": lambda limit: at <= limit,
    }
    return isinstance(wanted, dict) and all(tests[name](limit) for name, limit in wanted.items())

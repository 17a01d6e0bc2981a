"""What a second start finds again: one SQLite file of JSON values, and the uploaded files beside it."""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_SCHEMA = "CREATE TABLE IF NOT EXISTS kept (kind TEXT, key TEXT, value TEXT, PRIMARY KEY (kind, key))"


class Keep:
    """Written through on each change, so that a kill loses nothing; without a directory nothing is written."""

    def __init__(self, directory: Path | None) -> None:
        self._database: sqlite3.Connection | None = None
        self._files: Path | None = None
        self._memory: dict[str, bytes] = {}
        if directory is None:
            return
        self._files = directory / "files"
        self._files.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(directory / "telegram.sqlite3", isolation_level=None)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = NORMAL")
        self._database.execute(_SCHEMA)

    def put(self, kind: str, key: object, value: Any) -> None:  # noqa: ANN401 - whatever JSON can hold
        """Store a JSON value under a kind and a key, in place of what was there."""
        if self._database:
            row = (kind, str(key), json.dumps(value))
            self._database.execute("INSERT OR REPLACE INTO kept VALUES (?, ?, ?)", row)

    def drop(self, kind: str, key: object) -> None:
        """Forget one value; nothing happens if there is none."""
        if self._database:
            self._database.execute("DELETE FROM kept WHERE kind = ? AND key = ?", (kind, str(key)))

    def all(self, kind: str) -> Iterator[tuple[str, Any]]:
        """Keys and values of a kind, in the order in which they were stored first or replaced last."""
        if self._database:
            rows = self._database.execute("SELECT key, value FROM kept WHERE kind = ? ORDER BY rowid", (kind,))
            for key, value in rows.fetchall():
                yield key, json.loads(value)

    def one(self, kind: str, key: object) -> Any:  # noqa: ANN401 - whatever JSON can hold
        """The value under a kind and a key, or nothing."""
        return dict(self.all(kind)).get(str(key))

    def write_file(self, name: str, content: bytes) -> None:
        """Store the bytes of an upload; the name is made here and never comes from outside."""
        if self._files:
            (self._files / name).write_bytes(content)
        else:
            self._memory[name] = content

    def read_file(self, name: str) -> bytes:
        """The bytes of an upload; KeyError or FileNotFoundError if there are none."""
        return (self._files / name).read_bytes() if self._files else self._memory[name]

    def close(self) -> None:
        """Close the file; further changes are not written."""
        if self._database:
            self._database.close()
            self._database = None

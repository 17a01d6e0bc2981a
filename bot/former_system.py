"""The former system's database, read: an SQLite file that GORM made (docs/operate.md has its tables and columns).

It grew over the years: columns that came late, or went, may be missing. The file is only read.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from billing.models import Kind
from bot.settings import CannotStart
from cloud.models import Role
from cloud.sizes import SIZES

TABLES = ("users", "vms", "k8s_clusters", "masters", "workers", "vouchers", "quota")
_RUNNING = "CREATED"
"""State of what runs there; before there were states, all that was in the table ran."""

Row = Mapping[str, Any]


class NotReadable(CannotStart):
    """The file is not such a database."""


@dataclass(frozen=True, slots=True)
class Node:
    """One machine there.

    Attributes:
        role: what it does.
        name: what it is called there.
        size: one of `SIZES`.
        public: whether it has an address of its own.
        host: where it is reached, empty when that is not written down.
    """

    role: Role
    name: str
    size: str
    public: bool
    host: str


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine or cluster there; `nodes` begins with the one that people log in to."""

    kind: Kind
    id: int
    user_id: str
    nodes: tuple[Node, ...]
    created_at: datetime | None

    @property
    def name(self) -> str:
        """What its owner calls it."""
        return self.nodes[0].name


@dataclass(frozen=True, slots=True)
class Voucher:
    """A voucher that was approved and not used; `user_id` is empty where it is nobody's own.

    Its worth is money where it has `balance` (whole units of the currency), else machines and addresses.
    """

    id: int
    user_id: str
    code: str
    balance: int
    machines: int
    addresses: int


@dataclass(frozen=True, slots=True)
class User:
    """A user there, with the quota that is left."""

    id: str
    name: str
    email: str
    public_key: str
    machines: int = 0
    addresses: int = 0


@dataclass(slots=True)
class FormerSystem:
    """What is taken over, and in `left` a line for each row that is not, with the reason."""

    users: list[User] = field(default_factory=list)
    machines: list[Machine] = field(default_factory=list)
    vouchers: list[Voucher] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


def read(path: Path) -> FormerSystem:
    """Return what is in a file; rows that GORM marked as deleted are as good as gone.

    Raises:
        NotReadable: it is no SQLite file, or a table is missing.
    """
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            connection.text_factory = lambda text: text.decode("utf-8", "replace").replace("\x00", "")
            tables = {name: _rows(connection, name) for name in TABLES}
    except sqlite3.DatabaseError as error:
        raise NotReadable(f"{path}: expected the former system's SQLite database: {error}") from error
    found = FormerSystem()
    _read_users(found, tables)
    known = {user.id for user in found.users}
    for machine in (*_vms(found, tables), *_clusters(found, tables)):
        if machine.user_id in known:
            found.machines.append(machine)
        else:
            found.left.append(f"{machine.kind.value} {machine.name}: its user {machine.user_id} is not taken over")
    _read_vouchers(found, tables, known)
    return found


def _rows(connection: sqlite3.Connection, table: str) -> list[Row]:
    columns = {row["name"] for row in connection.execute(f"PRAGMA table_info({table})")}
    if not columns:
        raise NotReadable(f"the file has no table {table}: expected the former system's database")
    alive = " WHERE deleted_at IS NULL" if "deleted_at" in columns else ""
    return [dict(row) for row in connection.execute(f"SELECT * FROM {table}{alive}")]  # noqa: S608 names from above


def _read_users(found: FormerSystem, tables: Mapping[str, Sequence[Row]]) -> None:
    quota = {_text(row, "user_id"): row for row in tables["quota"]}
    for row in tables["users"]:
        user_id, email = _text(row, "id"), _text(row, "email").strip()
        if not row.get("verified", 1):
            found.left.append(f"user {user_id}: never confirmed their address")
            continue
        if "@" not in email:
            found.left.append(f"user {user_id}: has no address")
            continue
        if float(row.get("balance") or 0) > 0:
            found.left.append(f"user {user_id}: a balance of {row['balance']} there; see /credit when they have come")
        left = quota.get(user_id, {})
        found.users.append(
            User(user_id, _text(row, "name"), email, _text(row, "ssh_key"), _int(left, "vms"), _int(left, "public_ips"))
        )


def _vms(found: FormerSystem, tables: Mapping[str, Sequence[Row]]) -> Iterator[Machine]:
    for row in tables["vms"]:
        node = _node(row, Role.VM)
        if _runs(found, row, Kind.VM, _text(row, "name")) and _is_sold(found, Kind.VM, (node,)):
            yield Machine(Kind.VM, _int(row, "id"), _text(row, "user_id"), (node,), _instant(row))


def _clusters(found: FormerSystem, tables: Mapping[str, Sequence[Row]]) -> Iterator[Machine]:
    for row in tables["k8s_clusters"]:
        number = _int(row, "id")
        of = {name: [each for each in tables[name] if each.get("cluster_id") == number] for name in TABLES[3:5]}
        nodes = (
            *(_node(each, Role.CONTROL) for each in of["masters"]),
            *(_node(each, Role.WORKER) for each in of["workers"]),
        )
        if not of["masters"]:
            found.left.append(f"k8s {number}: has no master")
        elif _runs(found, row, Kind.K8S, nodes[0].name) and _is_sold(found, Kind.K8S, nodes):
            yield Machine(Kind.K8S, number, _text(row, "user_id"), nodes, _instant(row))


def _node(row: Row, role: Role) -> Node:
    hosts = (_text(row, name).partition("/")[0] for name in ("public_ip", "ygg_ip", "mycelium_ip"))
    size = _text(row, "resources").lower() or _size_of(_int(row, "cru"), _int(row, "mru"))
    return Node(role, _text(row, "name"), size, bool(row.get("public")), next(filter(None, hosts), ""))


def _size_of(vcpus: int, memory_gb: int) -> str:
    """Return the size that has so much, empty when none has."""
    return next((name for name, size in SIZES.items() if (size.vcpus, size.memory_mb) == (vcpus, memory_gb * 1024)), "")


def _runs(found: FormerSystem, row: Row, kind: Kind, name: str) -> bool:
    state = _text(row, "state") or _RUNNING
    if state != _RUNNING:
        found.left.append(f"{kind.value} {name}: is {state} there")
    return state == _RUNNING


def _is_sold(found: FormerSystem, kind: Kind, nodes: tuple[Node, ...]) -> bool:
    strange = [node for node in nodes if node.size not in SIZES]
    found.left += [f"{kind.value} {node.name}: has a size that is not sold here" for node in strange]
    return not strange


def _read_vouchers(found: FormerSystem, tables: Mapping[str, Sequence[Row]], known: set[str]) -> None:
    for row in tables["vouchers"]:
        user_id = _text(row, "user_id")
        if row.get("used") or row.get("rejected") or not row.get("approved", 1):
            continue
        if user_id and user_id not in known:
            found.left.append(f"voucher {_int(row, 'id')}: its user {user_id} is not taken over")
            continue
        counted = _int(row, "balance"), _int(row, "vms"), _int(row, "public_ips")
        found.vouchers.append(Voucher(_int(row, "id"), user_id, _text(row, "voucher"), *counted))


def _text(row: Row, column: str) -> str:
    value = row.get(column)
    return "" if value is None else str(value)


def _int(row: Row, column: str) -> int:
    return max(int(row.get(column) or 0), 0)


def _instant(row: Row) -> datetime | None:
    """Return when a row was made: `2023-01-02 03:04:05.678901234+00:00` as GORM writes it."""
    text = _text(row, "created_at").replace(" ", "T", 1)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC).replace(microsecond=0)

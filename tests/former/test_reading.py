"""The former system's database is read as it is, however old, and never written."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from billing.models import Kind
from bot import former_system
from bot.former_system import NotReadable
from cloud.models import Role
from tests.former import sample


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return sample.write(tmp_path / "database.db")


def test_what_is_taken_over(file: Path) -> None:
    before = file.read_bytes()
    found = former_system.read(file)
    assert [(user.email, user.machines, user.addresses) for user in found.users] == [
        ("ann@example.com", 3, 1),
        ("bob@example.com", 0, 0),
    ]
    web, base, lab = found.machines
    assert (web.name, web.nodes[0].size, web.nodes[0].public, web.nodes[0].host) == (
        "web",
        "small",
        True,
        "203.0.113.7",
    )
    assert web.created_at == datetime(2023, 3, 4, 3, 6, 7, tzinfo=UTC)
    assert (base.nodes[0].size, base.nodes[0].host) == ("large", "300::7")
    assert lab.kind is Kind.K8S
    assert [(node.role, node.name, node.size) for node in lab.nodes] == [
        (Role.CONTROL, "lab", "medium"),
        (Role.WORKER, "labw1", "small"),
        (Role.WORKER, "labw2", "small"),
    ]
    assert [(voucher.code, voucher.user_id == sample.ANN) for voucher in found.vouchers] == [
        ("annsown", True),
        ("poster", False),
    ]
    assert file.read_bytes() == before


def test_each_row_that_stays_behind_has_a_reason(file: Path) -> None:
    left = "\n".join(former_system.read(file).left)
    for words in (
        f"user {sample.EVE}: never confirmed",
        "vm broken: is FAILED",
        f"vm eves: its user {sample.EVE} is not taken over",
        "vm odd: has a size that is not sold here",
    ):
        assert words in left
    assert "vm old" not in left
    assert "Gus" not in left


def test_columns_that_came_late_may_be_missing(file: Path) -> None:
    """Before soft deletion, states and confirmed addresses everything in the tables counted."""
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.executescript(
            "DROP INDEX idx_users_deleted_at;"
            + "".join(f"ALTER TABLE {table} DROP COLUMN deleted_at;" for table in ("users", "vms", "vouchers"))
            + "ALTER TABLE vms DROP COLUMN state; ALTER TABLE users DROP COLUMN verified;"
            + "ALTER TABLE vms DROP COLUMN mycelium_ip; ALTER TABLE vouchers ADD COLUMN balance integer;"
        )
    found = former_system.read(file)
    assert len(found.users) == 4
    assert {machine.name for machine in found.machines} == {"web", "Data_Base", "broken", "old", "eves", "lab"}


def test_another_file_is_refused_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no database" * 100)
    with pytest.raises(NotReadable, match="expected the former system"):
        former_system.read(tmp_path / "text")
    with closing(sqlite3.connect(tmp_path / "other")) as connection, connection:
        connection.execute("CREATE TABLE users (id integer)")
    with pytest.raises(NotReadable, match="no table vms"):
        former_system.read(tmp_path / "other")

"""A database of the former system as its GORM made it: tables, quoting, types, and how it writes booleans and times.

`python -m tests.former.sample FILE` writes one to look at.
"""

import sqlite3
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

SCHEMA = """
CREATE TABLE `users` (`id` uuid,`name` text,`email` text,`hashed_password` blob,`created_at` datetime,
  `updated_at` datetime,`deleted_at` datetime,`code` integer,`ssh_key` text,`verified` numeric,`team_size` integer,
  `project_desc` text,`college` text,`admin` numeric,PRIMARY KEY (`id`),CONSTRAINT `uni_users_email` UNIQUE (`email`));
CREATE INDEX `idx_users_deleted_at` ON `users`(`deleted_at`);
CREATE TABLE `quota` (`id` uuid,`created_at` datetime,`updated_at` datetime,`deleted_at` datetime,`user_id` text,
  `vms` integer,`public_ips` integer,PRIMARY KEY (`id`),CONSTRAINT `fk_users_quota` FOREIGN KEY (`user_id`)
  REFERENCES `users`(`id`));
CREATE TABLE `vms` (`id` integer PRIMARY KEY AUTOINCREMENT,`created_at` datetime,`updated_at` datetime,
  `deleted_at` datetime,`user_id` text,`name` text,`ygg_ip` text,`mycelium_ip` text,`public` numeric,`public_ip` text,
  `resources` text,`sru` integer,`cru` integer,`mru` integer,`contract_id` integer,`network_contract_id` integer,
  `state` text,`failure` text,CONSTRAINT `uni_vms_name` UNIQUE (`name`));
CREATE TABLE `k8s_clusters` (`id` integer PRIMARY KEY AUTOINCREMENT,`created_at` datetime,`updated_at` datetime,
  `deleted_at` datetime,`user_id` text,`network_contract` integer,`cluster_contract` integer,`state` text,
  `failure` text);
CREATE TABLE `masters` (`cluster_id` integer,`name` text,`cru` integer,`mru` integer,`sru` integer,`ygg_ip` text,
  `mycelium_ip` text,`public` numeric,`public_ip` text,`resources` text,CONSTRAINT `fk_k8s_clusters_master`
  FOREIGN KEY (`cluster_id`) REFERENCES `k8s_clusters`(`id`),CONSTRAINT `uni_masters_name` UNIQUE (`name`));
CREATE TABLE `workers` (`cluster_id` integer,`name` text,`cru` integer,`mru` integer,`sru` integer,`ygg_ip` text,
  `mycelium_ip` text,`public` numeric,`public_ip` text,`resources` text,CONSTRAINT `fk_k8s_clusters_workers`
  FOREIGN KEY (`cluster_id`) REFERENCES `k8s_clusters`(`id`),CONSTRAINT `uni_workers_name` UNIQUE (`name`));
CREATE TABLE `vouchers` (`id` integer PRIMARY KEY AUTOINCREMENT,`created_at` datetime,`updated_at` datetime,
  `deleted_at` datetime,`user_id` text,`voucher` text,`vms` integer,`public_ips` integer,`reason` text,`used` numeric,
  `approved` numeric,`rejected` numeric,CONSTRAINT `uni_vouchers_voucher` UNIQUE (`voucher`));
"""
WHEN = "2023-03-04 05:06:07.890123456+02:00"
"""03:06:07 UTC."""
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGl0F3H5gpDYqm5VYcKkGnbQSvMXAVfQjZ3SQFJbk4vX ann@laptop"
ANN, BOB, EVE, GONE = (f"{letter * 8}-0000-4000-8000-000000000000" for letter in "abef")

Rows = Sequence[Mapping[str, object]]
USERS: Rows = (
    {"id": ANN, "name": "Ann", "email": "ann@example.com", "ssh_key": KEY, "verified": True, "admin": False},
    {"id": BOB, "name": "Bob <b>", "email": "bob@example.com", "ssh_key": "none", "verified": True, "admin": True},
    {"id": EVE, "name": "Eve", "email": "eve@example.com", "ssh_key": "", "verified": False},
    {"id": GONE, "name": "Gus", "email": "gus@example.com", "verified": True, "deleted_at": WHEN},
)
QUOTA: Rows = (
    {"id": "q-1", "user_id": ANN, "vms": 3, "public_ips": 1},
    {"id": "q-2", "user_id": BOB, "vms": 0, "public_ips": 0},
)
RUNS = {"state": "CREATED", "created_at": WHEN}
SMALL = {"resources": "small", "cru": 1, "mru": 2, "sru": 25}
MEDIUM = {"resources": "medium", "cru": 2, "mru": 4, "sru": 50}
VMS: Rows = (
    {**RUNS, **SMALL, "user_id": ANN, "name": "web", "public": True, "public_ip": "203.0.113.7/24"},
    {**RUNS, "user_id": ANN, "name": "Data_Base", "cru": 4, "mru": 8, "sru": 100, "public": False, "ygg_ip": "300::7"},
    {**RUNS, **SMALL, "user_id": ANN, "name": "broken", "state": "FAILED", "failure": "no farm"},
    {**RUNS, **SMALL, "user_id": ANN, "name": "old", "deleted_at": WHEN},
    {**RUNS, **SMALL, "user_id": EVE, "name": "eves"},
    {**RUNS, "user_id": BOB, "name": "odd", "resources": "", "cru": 3, "mru": 3},
)
CLUSTERS: Rows = ({**RUNS, "user_id": BOB, "cluster_contract": 12},)
MASTERS: Rows = ({**MEDIUM, "cluster_id": 1, "name": "lab", "public": True, "public_ip": "203.0.113.9/24"},)
WORKERS: Rows = (
    {**SMALL, "cluster_id": 1, "name": "labw1", "public": False, "ygg_ip": "300::9"},
    {**SMALL, "cluster_id": 1, "name": "labw2", "public": False},
)
VOUCHERS: Rows = (
    {"user_id": ANN, "voucher": "annsown", "vms": 2, "public_ips": 0, "used": False, "approved": True},
    {"user_id": ANN, "voucher": "spent", "vms": 9, "public_ips": 9, "used": True, "approved": True},
    {"user_id": ANN, "voucher": "asked", "vms": 9, "public_ips": 9, "used": False, "approved": False},
    {"user_id": "", "voucher": "poster", "vms": 1, "public_ips": 1, "used": False, "approved": True},
)
ALL = {
    "users": USERS,
    "quota": QUOTA,
    "vms": VMS,
    "k8s_clusters": CLUSTERS,
    "masters": MASTERS,
    "workers": WORKERS,
    "vouchers": VOUCHERS,
}


def write(path: Path, tables: Mapping[str, Rows] = ALL) -> Path:
    """Make a database."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(SCHEMA)
        for table, rows in tables.items():
            add(connection, table, rows)
    return path


def add(connection: sqlite3.Connection, table: str, rows: Rows) -> None:
    """Put rows into a table."""
    for row in rows:
        names = ", ".join(f"`{name}`" for name in row)
        marks = ", ".join("?" for _ in row)
        connection.execute(f"INSERT INTO `{table}` ({names}) VALUES ({marks})", tuple(row.values()))  # noqa: S608 ours


if __name__ == "__main__":
    write(Path(sys.argv[1]))

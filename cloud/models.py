"""Deployments, their machines, and customers' SSH keys."""

from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy import ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from billing.catalog import Item
from billing.models import BIG, Amount, Base, Id, Kind


class State(StrEnum):
    """Where a deployment stands (rules.md 3.8); the values are what people see."""

    IN_PROGRESS = "in progress"
    SUCCESS = "success"
    FAILED = "failed"
    DELETING = "deleting"
    DELETED = "deleted"


ACTIVE = (State.IN_PROGRESS, State.SUCCESS)


class PowerWish(StrEnum):
    """How a deployment's machines should be."""

    ON = "on"
    OFF = "off"
    """Asked for by the customer: still billed."""
    SUSPENDED = "suspended"
    """Off for debt: not billed (rules.md 4.1)."""


class Role(StrEnum):
    """What a machine does in its deployment."""

    VM = "vm"
    CONTROL = "control"
    WORKER = "worker"


class Deployment(Base):
    """One machine or cluster that a customer ordered; reconcile makes the cloud agree with this row."""

    __tablename__ = "deployments"
    __table_args__ = (
        Index(
            "uq_deployments_live_name",
            "customer_id",
            "kind",
            "name",
            unique=True,
            sqlite_where=sa.text("state IN ('in progress', 'success', 'deleting')"),
            postgresql_where=sa.text("state IN ('in progress', 'success', 'deleting')"),
        ),
        Index(None, "customer_id", "state", "id"),
        Index(
            "ix_deployments_work",
            "reconcile_at",
            sqlite_where=sa.text("reconcile_at IS NOT NULL"),
            postgresql_where=sa.text("reconcile_at IS NOT NULL"),
        ),
        Index(None, "state", "id"),
        Index(
            "ix_deployments_suspended",
            "customer_id",
            sqlite_where=sa.text("power = 'suspended'"),
            postgresql_where=sa.text("power = 'suspended'"),
        ),
    )

    id: Mapped[Id]
    customer_id: Mapped[int] = mapped_column(BIG, ForeignKey("customers.id"))
    subscription_id: Mapped[int] = mapped_column(BIG, ForeignKey("subscriptions.id"), unique=True)
    kind: Mapped[Kind]
    name: Mapped[str] = mapped_column(sa.String(63))
    size: Mapped[str] = mapped_column(sa.String(16))
    public: Mapped[bool]
    workers: Mapped[int]
    state: Mapped[State]
    power: Mapped[PowerWish] = mapped_column(default=PowerWish.ON)
    power_before: Mapped[PowerWish | None]
    """How the customer wished it when it was switched off for debt: so it comes back."""
    reboot_wanted: Mapped[bool] = mapped_column(default=False)
    detail: Mapped[str] = mapped_column(sa.String(200), default="")
    """What is going on, or why it failed, in plain words."""
    created_at: Mapped[datetime]
    deadline_at: Mapped[datetime]
    """In progress for longer than this fails; one that was switched on is no longer waited for."""
    ready_at: Mapped[datetime | None]
    delete_asked_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    """Failed, or deleted."""
    cleaned_at: Mapped[datetime | None]
    """Nothing of it is left in the cloud."""
    chat_message_id: Mapped[int | None]
    """The chat message that shows its progress, edited in place."""
    kubeconfig: Mapped[str] = mapped_column(sa.Text, default="")
    adopted_at: Mapped[datetime | None]
    """Taken over from the former system then: people look after its machines, no driver ever does."""

    reconcile_at: Mapped[datetime | None]
    """When to look after it next; none when there is nothing to do."""
    leased_until: Mapped[datetime | None]
    leased_by: Mapped[str] = mapped_column(sa.String(64), default="")
    attempts: Mapped[int] = mapped_column(default=0)
    """Calls in a row that the cloud asked to try again."""

    @property
    def item(self) -> str:
        """The catalogue code."""
        return Item(self.kind, self.size, self.public).code

    @property
    def by_hand(self) -> bool:
        """Whether people look after its machines, where another system made them."""
        return self.adopted_at is not None


class Node(Base):
    """One machine of a deployment, as the driver knows it."""

    __tablename__ = "nodes"
    __table_args__ = (UniqueConstraint("deployment_id", "role", "position"),)

    id: Mapped[Id]
    deployment_id: Mapped[int] = mapped_column(BIG, ForeignKey("deployments.id"))
    role: Mapped[Role]
    position: Mapped[int]
    machine: Mapped[str] = mapped_column(sa.String(63), unique=True)
    """The driver's name of it, made from the order: look up, then create."""
    host: Mapped[str] = mapped_column(sa.String(255), default="")
    port: Mapped[int] = mapped_column(default=22)
    private_ip: Mapped[str] = mapped_column(sa.String(64), default="")
    host_key: Mapped[str] = mapped_column(sa.Text)
    """Private host key (PEM) that its SSH server shows; made with the row, so that a retry shows the same one."""
    host_key_fingerprint: Mapped[str] = mapped_column(sa.String(64))
    created_at: Mapped[datetime]
    asked_at: Mapped[datetime | None]
    """Set before the cloud is asked to make it: from here on it may exist."""
    seen_at: Mapped[datetime | None]
    """When it was ready, then when the cloud last showed it; a machine that vanished was billed until here."""


class FindingKind(StrEnum):
    """How the cloud and the deployments disagree."""

    UNKNOWN = "unknown"
    """A machine that no deployment of ours ever had."""
    LEFT = "left"
    """A machine of a deployment that is over and was cleaned."""
    MISSING = "missing"
    """A machine that should be there and is not."""


class Finding(Base):
    """A disagreement between the cloud and the deployments, from its first sighting until it is gone."""

    __tablename__ = "findings"

    machine: Mapped[str] = mapped_column(sa.String(63), primary_key=True)
    kind: Mapped[FindingKind]
    found_at: Mapped[datetime]
    """Reported to the house in the same transaction; acted on some time later, if it is still so."""


class SshKey(Base):
    """A customer's public key; put into every machine made after it was added."""

    __tablename__ = "ssh_keys"
    __table_args__ = (UniqueConstraint("customer_id", "fingerprint"),)

    id: Mapped[Id]
    customer_id: Mapped[int] = mapped_column(BIG, ForeignKey("customers.id"))
    public_key: Mapped[str] = mapped_column(sa.Text)
    fingerprint: Mapped[str] = mapped_column(sa.String(64))
    comment: Mapped[str] = mapped_column(sa.String(100), default="")
    added_at: Mapped[datetime]


class FormerUser(Base):
    """A user of the system before this one, who becomes a customer by opening the link that was mailed to them."""

    __tablename__ = "former_users"
    __table_args__ = (
        Index(
            "ix_former_users_to_mail",
            "mail_at",
            sqlite_where=sa.text("mail_at IS NOT NULL"),
            postgresql_where=sa.text("mail_at IS NOT NULL"),
        ),
    )

    id: Mapped[Id]
    former_id: Mapped[str] = mapped_column(sa.String(64), unique=True)
    """Their id there: imported again is imported once."""
    email: Mapped[str] = mapped_column(sa.String(254))
    name: Mapped[str] = mapped_column(sa.String(256), default="")
    public_key: Mapped[str] = mapped_column(sa.Text, default="")
    funds: Mapped[Amount]
    """What their unused vouchers and their quota were worth, minor units: a voucher when they come."""
    imported_at: Mapped[datetime]
    code_hash: Mapped[str | None] = mapped_column(sa.String(64), unique=True)
    """SHA-256 of the code in the newest link; the code itself is in the mail only."""
    expires_at: Mapped[datetime | None]
    mail_at: Mapped[datetime | None]
    """When to mail a link, with a new code."""
    mailed_at: Mapped[datetime | None]
    mail_error: Mapped[str] = mapped_column(sa.String(200), default="")
    customer_id: Mapped[int | None] = mapped_column(BIG, ForeignKey("customers.id"))
    matched_at: Mapped[datetime | None]


class FormerMachine(Base):
    """A machine or cluster of the system before this one; a deployment when its owner has come."""

    __tablename__ = "former_machines"
    __table_args__ = (UniqueConstraint("kind", "former_id"), Index(None, "former_user_id", "id"))

    id: Mapped[Id]
    former_user_id: Mapped[int] = mapped_column(BIG, ForeignKey("former_users.id"))
    kind: Mapped[Kind]
    former_id: Mapped[int]
    name: Mapped[str] = mapped_column(sa.String(63))
    size: Mapped[str] = mapped_column(sa.String(16))
    public: Mapped[bool]
    monthly: Mapped[Amount]
    """All its nodes together at the prices of the day of the import: what the mail says is what is charged (A19)."""
    made_of: Mapped[dict[str, Any]]
    """`nodes`: each with `role`, `name` there, and `host` where it is reached; the one that people log in to first."""
    created_at: Mapped[datetime]
    deployment_id: Mapped[int | None] = mapped_column(BIG, ForeignKey("deployments.id"), unique=True)

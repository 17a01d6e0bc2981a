"""What all tables share: naming, column types, and the registry that migrations read."""

from datetime import UTC, datetime
from enum import Enum
from typing import Annotated, Any

import sqlalchemy as sa
from sqlalchemy import Dialect, MetaData
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import DeclarativeBase, mapped_column
from sqlalchemy.types import TypeDecorator

from billing.clock import Month


class Instant(TypeDecorator[datetime]):
    """An aware UTC datetime, stored as whole seconds since 1970: the same arithmetic on both databases."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:  # noqa: ARG002 its signature
        """Return whole seconds."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone")
        return int(value.timestamp())

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 its signature
        """Return the aware instant."""
        return None if value is None else datetime.fromtimestamp(value, UTC)


class MonthNumber(TypeDecorator[Month]):
    """A calendar month, stored as 202601."""

    impl = sa.Integer
    cache_ok = True

    def process_bind_param(self, value: Month | None, dialect: Dialect) -> int | None:  # noqa: ARG002 its signature
        """Return the month's number."""
        return None if value is None else value.number

    def process_result_value(self, value: int | None, dialect: Dialect) -> Month | None:  # noqa: ARG002 its signature
        """Return the month."""
        return None if value is None else Month.from_number(value)


BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
"""Row ids and amounts: 64 bits on both (SQLite's INTEGER is, and only INTEGER can be its row id)."""

Id = Annotated[int, mapped_column(BIG, primary_key=True)]
Amount = Annotated[int, mapped_column(BIG)]
"""Minor units of the configured currency."""


class Base(DeclarativeBase):
    """All tables of the product."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 SQLAlchemy reads it as it stands
        int: BIG,
        datetime: Instant,
        Month: MonthNumber,
        dict[str, Any]: sa.JSON().with_variant(postgresql.JSONB(), "postgresql"),
        Enum: sa.Enum(
            Enum,
            native_enum=False,
            create_constraint=False,
            length=32,
            values_callable=lambda members: [member.value for member in members],
        ),
    }

"""The few things that SQLite and PostgreSQL spell differently, and statements that write many rows at once."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, cast

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Label, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.schema import CreateTable
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from billing.models import Base

Whole = ColumnElement[int] | InstrumentedAttribute[int]
"""An integer column or expression."""


def table(model: type[Base]) -> Table:
    """Return a model's table, for statements that make no objects."""
    return cast("Table", model.__table__)


def inserting(session: AsyncSession, model: type[Base]) -> sqlite.Insert | postgresql.Insert:
    """Return an INSERT that knows ON CONFLICT, which both databases spell alike."""
    into = table(model)
    return sqlite.insert(into) if session.get_bind().dialect.name == "sqlite" else postgresql.insert(into)


def whole(value: ColumnElement[Any] | InstrumentedAttribute[Any]) -> ColumnElement[int]:
    """Return an instant, an amount or a number as a plain integer of the database: arithmetic stays integer."""
    return sa.type_coerce(value, sa.BigInteger())


class _Spelled(FunctionElement[Any]):
    """A function whose name differs: `names` says how each database spells it."""

    inherit_cache = True
    names: ClassVar[Mapping[str, str]]


class _Least(_Spelled):
    inherit_cache = True
    type = sa.BigInteger()
    names = MappingProxyType({"sqlite": "min", "postgresql": "least"})


class _Greatest(_Spelled):
    inherit_cache = True
    type = sa.BigInteger()
    names = MappingProxyType({"sqlite": "max", "postgresql": "greatest"})


class _JsonObject(_Spelled):
    inherit_cache = True
    names = MappingProxyType({"sqlite": "json_object", "postgresql": "jsonb_build_object"})


class _JsonArray(_Spelled):
    inherit_cache = True
    names = MappingProxyType({"sqlite": "json_array", "postgresql": "jsonb_build_array"})


class _Padded(FunctionElement[str]):
    inherit_cache = True
    type = sa.String()
    name = "padded"


@compiles(_Spelled)
def _spelled(element: _Spelled, compiler: SQLCompiler, **kw: object) -> str:
    return f"{element.names[compiler.dialect.name]}({compiler.process(element.clauses, **kw)})"


@compiles(_Padded, "sqlite")
def _padded_sqlite(element: _Padded, compiler: SQLCompiler, **kw: object) -> str:
    return f"printf('%06d', {compiler.process(element.clauses, **kw)})"


@compiles(_Padded, "postgresql")
def _padded_postgresql(element: _Padded, compiler: SQLCompiler, **kw: object) -> str:
    # `to_char` shows '#' when a number outgrows its pattern; this one grows.
    text = f"CAST({compiler.process(element.clauses, **kw)} AS TEXT)"
    return f"lpad({text}, greatest(6, length({text})), '0')"


def least(first: ColumnElement[int], second: ColumnElement[int]) -> ColumnElement[int]:
    """Return the smaller of two integers."""
    return _Least(first, second)


def greatest(first: ColumnElement[int], second: ColumnElement[int]) -> ColumnElement[int]:
    """Return the larger of two integers."""
    return _Greatest(first, second)


def padded(number: ColumnElement[int]) -> ColumnElement[str]:
    """Return a number as text of at least six digits."""
    return _Padded(number)


def number(value: int) -> ColumnElement[int]:
    """Return a constant of a formula, written into the statement as it is."""
    return sa.literal_column(str(value), sa.BigInteger())


def json_object(fields: Mapping[str, ColumnElement[Any] | InstrumentedAttribute[Any]]) -> ColumnElement[Any]:
    """Return a JSON object made in the database; the names are constants of ours."""
    parts: list[ColumnElement[Any] | InstrumentedAttribute[Any]] = []
    for name, value in fields.items():
        parts += [sa.literal_column(f"'{name}'", sa.String()), value]
    return _JsonObject(*parts)


def json_array(*values: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return a JSON array made in the database."""
    return _JsonArray(*values)


def rounded(numerator: ColumnElement[int], denominator: int, step: int) -> ColumnElement[int]:
    """Return a non-negative fraction, rounded half up to the step: `Currency.round_half_up` in SQL (rules.md 1.4)."""
    half = denominator * step
    return (2 * numerator + half) // number(2 * half) * step


async def start_empty(session: AsyncSession, scratch: Table) -> None:
    """Have a temporary table be there and hold nothing."""
    await session.execute(CreateTable(scratch, if_not_exists=True))
    await session.execute(scratch.delete())


def columns(
    values: Mapping[str, ColumnElement[Any] | InstrumentedAttribute[Any]],
) -> tuple[list[str], list[Label[Any]]]:
    """Return names and labelled values for `insert().from_select()`."""
    return list(values), [value.label(name) for name, value in values.items()]

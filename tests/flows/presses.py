"""Every button of the house, made with ids of one's own choosing, and pressed as anybody."""

import asyncio
import itertools
from collections.abc import Collection, Iterator, Mapping
from dataclasses import fields
from enum import StrEnum
from typing import Any, get_type_hints

from sqlalchemy import func, select

from bot.callbacks import Press, known
from bot.demo.telegram import Person, acts
from bot.demo.telegram.client import Tap
from bot.everything import FEATURES
from bot.guards import administrators
from bot.models import ChatUpdate
from bot.router import Routes
from tests.flows.world import World

REVOKED = 3
"""Telegram id of who was an administrator once."""

ROUTES = Routes.of(route for feature in FEATURES for route in feature.handlers())
FOR_ADMINISTRATORS = frozenset(kind for kind, route in ROUTES.presses.items() if route.guard is administrators)
ADMIN_COMMANDS = sorted(name for name, route in ROUTES.commands.items() if route.guard is administrators)


def made(kind: type[Press], ids: Mapping[str, Collection[int]]) -> Iterator[Press]:
    """Return buttons of a kind, once for each id that one of its fields may be; other fields have one value."""
    hints = get_type_hints(kind)
    names = [field.name for field in fields(kind)]
    choices = [values(name, hints[name], ids) for name in names]
    for chosen in itertools.product(*choices):
        yield kind(**dict(zip(names, chosen, strict=True)))


def values(name: str, kind: type, ids: Mapping[str, Collection[int]]) -> Collection[Any]:
    """Return what a field may be."""
    if kind is bool:
        return (True,)
    if kind is int:
        return ids.get(name, (1,))
    if issubclass(kind, StrEnum):
        return tuple(kind)[:2]
    return ("x",)


def every(ids: Mapping[str, Collection[int]]) -> list[Press]:
    """Return buttons of every kind; those that end something for who presses them come last."""
    found = [press for kind in known().values() if kind in ROUTES.presses for press in made(kind, ids)]
    return sorted(found, key=lambda press: "Close" in type(press).__name__)


async def press(world: World, person: Person, data: str, message_id: int) -> str:
    """Press a button with this data; return the word over the chat when the update is done with."""
    chat = world.telegram.state.chats[person.id]
    tap = Tap(world.telegram.state, acts.tap(world.telegram.state, person.id, chat, message_id, data))
    answer = await tap.answered()
    await handled(world)
    return str(answer.get("text", ""))


async def handled(world: World, timeout_s: float = 60) -> None:
    """Wait until every update has been answered."""
    async with asyncio.timeout(timeout_s):
        while True:
            async with world.app.database.read() as session:
                if not await session.scalar(select(func.count()).where(ChatUpdate.handled_at.is_(None))):
                    return
            await asyncio.sleep(0.005)

"""What runs in the cloud, what the deployments say, and what is billed, compared (C13): differences, never a repair."""

from collections.abc import Iterator

from sqlalchemy import exists, select

from billing.checks import Difference
from billing.db import Database
from billing.models import Interval
from cloud.drivers.base import Driver
from cloud.models import Deployment, Node, PowerWish, State

_MACHINES, _BILLED = "machines", "billed"
_GONE = (State.DELETED, State.FAILED)


async def differences(database: Database, driver: Driver) -> list[Difference]:
    """Return machines that nobody ordered, running deployments without one, and what is billed but does not run.

    Raises:
        DriverError: the cloud could not be listed.
    """
    listed = {machine.name for machine in await driver.list_owned()}
    async with database.read() as session:
        open_interval = exists().where(
            Interval.subscription_id == Deployment.subscription_id, Interval.ended_at.is_(None)
        )
        rows = [
            (node, deployment, bool(billed))
            for node, deployment, billed in await session.execute(
                select(Node, Deployment, open_interval)
                .join(Deployment, Deployment.id == Node.deployment_id)
                .where(Deployment.cleaned_at.is_(None) | Deployment.state.not_in(_GONE))
            )
        ]
    found = list(_of_machines(listed, rows))
    seen: set[int] = set()
    for _, deployment, billed in rows:
        if deployment.id not in seen:
            seen.add(deployment.id)
            found += _of_billing(deployment, billed=billed)
    return found


def _of_machines(listed: set[str], rows: list[tuple[Node, Deployment, bool]]) -> Iterator[Difference]:
    wanted = {node.machine for node, _, _ in rows}
    for name in sorted(listed - wanted):
        yield Difference(_MACHINES, f"machine {name}", "nothing", "a machine that no deployment has")
    for node, deployment, _ in rows:
        if deployment.state is State.SUCCESS and node.seen_at is not None and node.machine not in listed:
            yield Difference(_MACHINES, f"deployment {deployment.id}", f"a machine {node.machine}", "none")


def _of_billing(deployment: Deployment, *, billed: bool) -> Iterator[Difference]:
    runs = deployment.state is State.SUCCESS and deployment.power is not PowerWish.SUSPENDED
    if runs != billed:
        words = {True: "a running interval", False: "no running interval"}
        state = f"deployment {deployment.id} ({deployment.state.value}, {deployment.power.value})"
        yield Difference(_BILLED, state, words[runs], words[billed])

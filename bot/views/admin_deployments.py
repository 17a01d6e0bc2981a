"""Everybody's deployments as administrators see them (B7)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from billing.catalog import Item
from billing.models import Customer
from billing.money import Currency
from bot.admin_links import AllDeployments, ShowCustomer, Which
from bot.callbacks import Press, button
from bot.format import bold, code, escape, when
from bot.i18n import _
from bot.view import Button, Rows, View
from bot.views import machines, problems, words
from bot.views.admin_words import panel, short, turn, who
from cloud.models import ACTIVE, Deployment, State

PAGE = 8
"""Deployments on one screen."""

STATES: Mapping[Which, Sequence[State]] = {
    Which.LIVE: (State.IN_PROGRESS, State.SUCCESS, State.DELETING),
    Which.PROGRESS: (State.IN_PROGRESS,),
    Which.SUCCESS: (State.SUCCESS,),
    Which.DELETING: (State.DELETING,),
    Which.FAILED: (State.FAILED,),
    Which.DELETED: (State.DELETED,),
}


@button("bj")
class ShowAny(Press):
    """One deployment, whosever it is."""

    deployment_id: int


@button("bk")
class AskDeleteAny(Press):
    """Ask whether it shall go."""

    deployment_id: int


@button("bl")
class DeleteAny(Press):
    """It shall go."""

    deployment_id: int


@button("fr")
class RemovedByHand(Press):
    """An administrator has removed what another system made."""

    deployment_id: int


@dataclass(frozen=True, slots=True)
class Found:
    """A page of deployments with whose they are.

    Attributes:
        of: which page, of which.
        rows: newest first.
        more: whether older ones follow.
        counts: how many are in each state, of all customers.
        customer: the one whose they are, where only theirs are shown.
    """

    of: AllDeployments
    rows: Sequence[tuple[Deployment, Customer]]
    more: bool
    counts: Mapping[State, int]
    customer: Customer | None


def listing(found: Found) -> View:
    """Return a page of deployments, with a button for each state."""
    of = found.of
    if found.customer is None:
        title = _("🖥 Deployments of all customers")
    else:
        title = _("🖥 Deployments of {name}").format(name=bold(who(found.customer)))
    counts = " ".join(f"{words.STATE_SIGNS[state]} {count}" for state, count in found.counts.items())
    lines = [title, *([counts] if found.customer is None else []), ""]
    lines.append(_("Shown: {states}").format(states=_name(of.which)) if found.rows else _none(of.which))
    rows: Rows = tuple((Button(_line(row, whose, found), ShowAny(deployment_id=row.id)),) for row, whose in found.rows)
    pages = turn(_page(of, of.page - 1) if of.page else None, _page(of, of.page + 1) if found.more else None)
    back = (panel(), problems.home())
    if found.customer is not None:
        back = (Button(f"‹ {short(found.customer)}", ShowCustomer(customer_id=found.customer.id)), panel())
    return View("\n".join(lines), (*rows, *pages, *_choices(of), back))


def _page(of: AllDeployments, page: int) -> AllDeployments:
    return AllDeployments(which=of.which, customer_id=of.customer_id, page=page)


def _name(which: Which) -> str:
    return _("all that are not deleted or failed") if which is Which.LIVE else bold(words.state(STATES[which][0]))


def _none(which: Which) -> str:
    return _("There is none.") if which is Which.LIVE else _("There is none: {state}").format(state=_name(which))


def _line(row: Deployment, whose: Customer, found: Found) -> str:
    name = "" if found.customer is not None else f" · {short(whose)}"
    return f"{machines.sign(row)} {row.name} · {row.kind.value} {row.size}{name}"


def _choices(of: AllDeployments) -> Rows:
    """Return the buttons for the other states, three in a row."""
    others = [
        Button(
            _("All") if which is Which.LIVE else f"{words.STATE_SIGNS[states[0]]} {words.state(states[0])}",
            AllDeployments(which=which, customer_id=of.customer_id),
        )
        for which, states in STATES.items()
        if which is not of.which
    ]
    return tuple(tuple(others[start : start + 3]) for start in range(0, len(others), 3))


def one(shown: machines.Shown, customer: Customer, currency: Currency) -> View:
    """Return one deployment: what it is, whose, on which machines, what it costs."""
    row = shown.deployment
    lines = [
        f"{machines.sign(row)} {bold(row.name)} – {bold(machines.state(row))}",
        words.item(Item(row.kind, row.size, row.public), row.workers),
        _("of {name}").format(name=bold(who(customer))),
        *([f"<i>{escape(row.detail)}</i>"] if row.detail else []),
        "",
        *(f"{node.role.value}: {code(node.machine)} {escape(node.host or '–')}" for node in shown.nodes),
        "",
        *machines.cost(shown, currency),
        _("Ordered {time}").format(time=when(row.created_at)),
    ]
    if row.delete_asked_at is not None:
        lines.append(_("Deletion asked for {time}").format(time=when(row.delete_asked_at)))
    acts = [Button(_("🔄 Refresh"), ShowAny(deployment_id=row.id))]
    if row.state in {*ACTIVE, State.FAILED}:
        acts.append(Button(_("🗑 Delete"), AskDeleteAny(deployment_id=row.id)))
    if row.by_hand and row.state is State.DELETING:
        acts.append(Button(_("✅ I have removed it"), RemovedByHand(deployment_id=row.id)))
    return View(
        "\n".join(lines),
        (
            tuple(acts),
            (
                Button(f"👤 {short(customer)}", ShowCustomer(customer_id=customer.id)),
                Button(_("🖥 Deployments"), AllDeployments()),
            ),
            (panel(), problems.home()),
        ),
    )


def ask_delete(row: Deployment, customer: Customer) -> View:
    """Return the one question before somebody's deployment is lost."""
    return View(
        _("Delete {name} of {customer}? Its disk goes with it. Billing stops at once, and they are told.").format(
            name=bold(row.name), customer=bold(who(customer))
        ),
        (
            (Button(_("🗑 Delete {name}").format(name=row.name), DeleteAny(deployment_id=row.id)),),
            (Button(_("‹ Keep it"), ShowAny(deployment_id=row.id)),),
        ),
    )

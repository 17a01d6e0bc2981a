"""Machines and clusters: the list, one of them, deleting."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from billing.catalog import Item
from billing.models import Kind
from billing.money import Currency
from bot.callbacks import Press, button
from bot.format import bold, code, escape, money, when
from bot.i18n import _, ngettext
from bot.links import Clusters, Deploy, Home, Machines, ShowDeployment
from bot.view import Attachment, Button, Rows, View
from bot.views import problems, words
from cloud.models import ACTIVE, Deployment, Node, PowerWish, Role, State


@button("mx")
class AskDelete(Press):
    """Ask whether it shall go."""

    deployment_id: int


@button("my")
class DeleteNow(Press):
    """It shall go."""

    deployment_id: int


@button("ma")
class DeleteAllNow(Press):
    """All shall go."""


@button("mp")
class SetPower(Press):
    """On, or off."""

    deployment_id: int
    wish: PowerWish


@button("mr")
class Reboot(Press):
    """Restart it."""

    deployment_id: int


@button("mt")
class OrderAgain(Press):
    """The same order as one that failed."""

    deployment_id: int


@button("mk")
class Kubeconfig(Press):
    """The file that opens a cluster, once more."""

    deployment_id: int


@dataclass(frozen=True, slots=True)
class Shown:
    """A deployment with what its screen tells.

    Attributes:
        deployment: the row.
        nodes: its machines, control plane first.
        monthly: its price.
        so_far: cost of this month until now.
        projected: cost of this month if it runs on.
        user: the login name.
        real: false where machines are simulated.
    """

    deployment: Deployment
    nodes: Sequence[Node]
    monthly: int
    so_far: int
    projected: int
    user: str
    real: bool


def listing(kind: Kind, mine: Sequence[Deployment]) -> View:
    """Return all machines, or all clusters."""
    deploy = Button(_("🚀 Deploy"), Deploy())
    title = _("🖥 Your machines") if kind is Kind.VM else _("☸️ Your clusters")
    if not mine:
        empty = _("You have no machine.") if kind is Kind.VM else _("You have no cluster.")
        return View(empty, ((deploy,), (problems.home(),)))
    shown = mine[:_LIST]
    lines = [f"{words.STATE_SIGNS[row.state]} {bold(row.name)} – {row.size}, {state(row)}" for row in shown]
    if len(mine) > _LIST:
        more = len(mine) - _LIST
        lines.append(ngettext("… and {count} more", "… and {count} more", more).format(count=more))
    rows: Rows = tuple(
        (Button(f"{words.STATE_SIGNS[row.state]} {row.name}", ShowDeployment(deployment_id=row.id)),) for row in shown
    )
    return View(f"{title}\n\n" + "\n".join(lines), (*rows, (deploy, problems.home())))


_LIST = 40
"""So many fit on one screen with the longest names."""


def state(row: Deployment) -> str:
    """Return the state as the contract writes it, and how its power stands where that matters."""
    if row.state is State.SUCCESS and row.power is PowerWish.OFF:
        return _("{state}, powered off").format(state=row.state.value)
    if row.state is State.SUCCESS and row.power is PowerWish.SUSPENDED:
        return _("{state}, off until the debt is paid").format(state=row.state.value)
    return row.state.value


def one(shown: Shown, currency: Currency) -> View:
    """Return one machine or cluster: state, how to log in, cost, and what can be done."""
    row = shown.deployment
    item = Item(row.kind, row.size, row.public)
    lines = [
        f"{words.STATE_SIGNS[row.state]} {bold(row.name)} – {bold(state(row))}",
        f"{words.item(item, row.workers)}, {words.size(row.size)}",
    ]
    if row.state in {State.IN_PROGRESS, State.FAILED} and row.detail:
        lines.append(f"<i>{escape(words.progress(row.detail))}</i>")
    if row.state is State.SUCCESS:
        lines += ["", *_login(shown)]
    lines += ["", *cost(shown, currency)]
    return View("\n".join(lines), _rows(shown))


def with_kubeconfig(view: View, row: Deployment) -> View:
    """Return a running cluster's screen with the file that opens it; any other as it is."""
    if not row.kubeconfig or row.state is not State.SUCCESS:
        return view
    return replace(view, attachment=Attachment(f"kubeconfig-{row.name}.yaml", row.kubeconfig.encode()))


def ssh_command(node: Node, user: str) -> str:
    """Return the command that logs in: `ssh -p 40022 user@host`."""
    port = f"-p {node.port} " if node.port != _SSH_PORT else ""
    return f"ssh {port}{user}@{node.host}"


_SSH_PORT = 22


def _login(shown: Shown) -> list[str]:
    if not shown.real:
        return [_("This machine is simulated: there is nothing to log in to.")]
    lines = []
    for node in shown.nodes:
        if node.role is not Role.WORKER and node.host:
            lines.append(code(ssh_command(node, shown.user)))
            lines.append(_("Host key: {fingerprint}").format(fingerprint=code(node.host_key_fingerprint)))
    return lines


def cost(shown: Shown, currency: Currency) -> list[str]:
    """Return what it costs, line by line."""
    row = shown.deployment
    if row.state is State.FAILED:
        return [_("It was never billed.")]
    lines = [_("Price: {amount} a month").format(amount=money(shown.monthly, currency))]
    if shown.so_far or row.state is State.SUCCESS:
        text = _("This month: {so_far} so far")
        if row.state is State.SUCCESS:
            text = _("This month: {so_far} so far, {projected} if it runs on")
        lines.append(text.format(so_far=money(shown.so_far, currency), projected=money(shown.projected, currency)))
    if row.ready_at is not None:
        lines.append(_("Running since {time}").format(time=when(row.ready_at)))
    return lines


def _rows(shown: Shown) -> Rows:
    row = shown.deployment
    rows: list[tuple[Button, ...]] = []
    if row.state is State.SUCCESS:
        login = next((node for node in shown.nodes if node.role is not Role.WORKER and node.host), None)
        if login is not None and shown.real:
            rows.append((Button(_("📋 Copy SSH command"), copy=ssh_command(login, shown.user)),))
        if row.kubeconfig:
            rows.append((Button("☸️ kubeconfig", Kubeconfig(deployment_id=row.id)),))
        rows.append(_power(row))
    if row.state in ACTIVE:
        rows.append((Button(_("🗑 Delete"), AskDelete(deployment_id=row.id)),))
    if row.state is State.FAILED:
        rows.append((Button(_("🔄 Order again"), OrderAgain(deployment_id=row.id)),))
        rows.append((Button(_("🧹 Remove from the list"), DeleteNow(deployment_id=row.id)),))
    if row.state is not State.DELETED:
        rows.append((Button(_("🔄 Refresh"), ShowDeployment(deployment_id=row.id)),))
    rows.append((problems.back(Machines() if row.kind is Kind.VM else Clusters()), problems.home()))
    return tuple(row for row in rows if row)


def _power(row: Deployment) -> tuple[Button, ...]:
    if row.power is PowerWish.ON:
        return (
            Button(_("⏻ Power off"), SetPower(deployment_id=row.id, wish=PowerWish.OFF)),
            Button(_("♻️ Reboot"), Reboot(deployment_id=row.id)),
        )
    if row.power is PowerWish.OFF:
        return (Button(_("▶️ Power on"), SetPower(deployment_id=row.id, wish=PowerWish.ON)),)
    return ()


def ask_delete(row: Deployment) -> View:
    """Return the one question before something is lost."""
    return View(
        _("Delete {name}? Its disk goes with it, and this cannot be undone. Billing stops at once.").format(
            name=bold(row.name)
        ),
        (
            (Button(_("🗑 Delete {name}").format(name=row.name), DeleteNow(deployment_id=row.id)),),
            (Button(_("‹ Keep it"), ShowDeployment(deployment_id=row.id)),),
        ),
    )


def ask_delete_all(mine: Sequence[Deployment]) -> View:
    """Return the one question before all is lost."""
    names = ", ".join(bold(row.name) for row in mine[:_LIST])
    if len(mine) > _LIST:
        names += " …"
    text = ngettext(
        "Delete {count} deployment with its disks?", "Delete all {count} deployments with their disks?", len(mine)
    )
    return View(
        text.format(count=len(mine)) + f"\n{names}\n\n" + _("This cannot be undone. Billing stops at once."),
        ((Button(_("🗑 Delete all"), DeleteAllNow()),), (Button(_("‹ Keep them"), Home()),)),
    )


def deleted_all(count: int) -> View:
    """Return the answer when all is on its way out."""
    text = ngettext("🗑 {count} deployment is being deleted.", "🗑 {count} deployments are being deleted.", count)
    return View(text.format(count=count), ((problems.home(),),))


def nothing_to_delete() -> View:
    """Return the answer when there is nothing."""
    return problems.problem(_("You have nothing to delete."))


def usage_delete() -> View:
    """Return how `/delete` is typed."""
    return problems.problem(
        _("Which one? Type {example}, or choose it from the list.").format(example=code("/delete web-1")),
        Button(_("🖥 Machines"), Machines()),
        Button(_("☸️ Clusters"), Clusters()),
    )


def not_found(name: str) -> View:
    """Return the answer to a name that nothing has."""
    return problems.problem(
        _("You have nothing called {name}.").format(name=code(name[:_NAME])), Button(_("🖥 Machines"), Machines())
    )


_NAME = 70


def which(found: Sequence[Deployment]) -> View:
    """Return the question which of those with the same name is meant."""
    rows: Rows = tuple(
        (Button(_("{kind} {name}").format(kind=row.kind.value, name=row.name), AskDelete(deployment_id=row.id)),)
        for row in found
    )
    return View(_("A machine and a cluster have this name. Which one?"), (*rows, (problems.home(),)))


def power_asked(wish: PowerWish) -> str:
    """Return the word over the chat when power was asked for."""
    return _("Powering on …") if wish is PowerWish.ON else _("Powering off …")


def reboot_asked() -> str:
    """Return the word over the chat when a restart was asked for."""
    return _("Rebooting …")

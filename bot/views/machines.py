"""Machines and clusters: the list, one of them, deleting."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from billing.catalog import Item
from billing.models import Kind
from billing.money import Currency
from bot.callbacks import Press, button
from bot.format import bold, code, enumerated, escape, isolated, money, when
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


def listing(kind: Kind, shown: Sequence[Shown], number: int, currency: Currency, *, more: bool) -> View:
    """Return a page of all machines, or of all clusters, oldest first."""
    deploy = Button(_("🚀 Deploy"), Deploy())
    title = _("🖥 Your machines") if kind is Kind.VM else _("☸️ Your clusters")
    if not shown:
        empty = _("You have no machine.") if kind is Kind.VM else _("You have no cluster.")
        return View(empty, ((deploy,), (problems.home(),)))
    turn = []
    page = Machines if kind is Kind.VM else Clusters
    if number:
        turn.append(Button(_("‹ Older"), page(page=number - 1)))
    if more:
        turn.append(Button(_("Newer ›"), page(page=number + 1)))
    rows: Rows = tuple(
        (Button(f"{sign(one.deployment)} {one.deployment.name}", ShowDeployment(deployment_id=one.deployment.id)),)
        for one in shown
    )
    if turn:
        rows = (*rows, tuple(turn))
    text = "\n\n".join([bold(title), *(_in_list(one, currency) for one in shown)])
    return View(text, (*rows, (deploy, problems.home())))


PAGE = 10
"""So many are on one screen."""
_LIST = 40
"""So many names are told before the rest is only counted."""


def _in_list(shown: Shown, currency: Currency) -> str:
    """Return one entry: state, address, cost so far."""
    row = shown.deployment
    facts = [_("{amount} so far").format(amount=money(shown.so_far, currency))]
    if shown.real and row.state is State.SUCCESS:
        facts = [*(isolated(escape(node.host)) for node in shown.nodes if _is_entrance(node)), *facts]
    head = f"{sign(row)} {bold(row.name)} – {enumerated([row.size, state(row)])}"
    return head if row.state is State.FAILED else f"{head}\n{' · '.join(facts)}"


def _is_entrance(node: Node) -> bool:
    """Return whether people log in here."""
    return node.role is not Role.WORKER and bool(node.host)


def sign(row: Deployment) -> str:
    """Return the sign of a deployment: how its state looks, and off where its power is."""
    off = row.state is State.SUCCESS and row.power is not PowerWish.ON
    return "⚫" if off else words.STATE_SIGNS[row.state]


def state(row: Deployment) -> str:
    """Return the state in words, and how its power stands where that matters."""
    if row.state is State.SUCCESS and row.power is PowerWish.OFF:
        return _("{state}, powered off").format(state=words.state(row.state))
    if row.state is State.SUCCESS and row.power is PowerWish.SUSPENDED:
        return _("{state}, off until the debt is paid").format(state=words.state(row.state))
    return words.state(row.state)


def one(shown: Shown, currency: Currency) -> View:
    """Return one machine or cluster: state, how to log in, cost, and what can be done."""
    row = shown.deployment
    item = Item(row.kind, row.size, row.public)
    lines = [
        f"{sign(row)} {bold(row.name)} – {bold(state(row))}",
        enumerated([words.item(item, row.workers), words.size(row.size)]),
    ]
    if row.detail and (row.state in {State.IN_PROGRESS, State.FAILED} or _goes_by_hand(row)):
        lines.append(f"<i>{escape(words.progress(row.detail))}</i>")
    if row.state is State.SUCCESS:
        lines += ["", *_login(shown)]
        if row.by_hand:
            lines.append(_("It came from the former system: we switch it by hand, ask /support."))
    lines += ["", *cost(shown, currency)]
    return View("\n".join(lines), _rows(shown), follows=row.id)


def _goes_by_hand(row: Deployment) -> bool:
    return row.by_hand and row.state is State.DELETING


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
        if _is_entrance(node):
            lines.append(code(ssh_command(node, shown.user)))
            if node.host_key_fingerprint:
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
    if row.ready_at is not None and row.state is State.SUCCESS and row.power is PowerWish.ON:
        lines.append(_("Running since {time}").format(time=when(row.ready_at)))
    if row.state is State.SUCCESS and row.power is PowerWish.OFF:
        lines.append(_("Off, it costs the same: its disk and its address are kept."))
    return lines


def _rows(shown: Shown) -> Rows:
    row = shown.deployment
    rows: list[tuple[Button, ...]] = []
    if row.state is State.SUCCESS:
        login = next(filter(_is_entrance, shown.nodes), None)
        if login is not None and shown.real:
            rows.append((Button(_("📋 Copy SSH command"), copy=ssh_command(login, shown.user)),))
        if row.kubeconfig:
            rows.append((Button("☸️ kubeconfig", Kubeconfig(deployment_id=row.id)),))
        rows.append(_power(row))
    if row.state is State.FAILED:
        rows.append((Button(_("🔄 Order again"), OrderAgain(deployment_id=row.id)),))
        rows.append((Button(_("🧹 Remove from the list"), DeleteNow(deployment_id=row.id)),))
    refresh = Button(_("🔄 Refresh"), ShowDeployment(deployment_id=row.id))
    if row.state in ACTIVE:
        rows.append((refresh, Button(_("🗑 Delete"), AskDelete(deployment_id=row.id))))
    elif row.state is not State.DELETED:
        rows.append((refresh,))
    rows.append((problems.back(Machines() if row.kind is Kind.VM else Clusters()), problems.home()))
    return tuple(row for row in rows if row)


def _power(row: Deployment) -> tuple[Button, ...]:
    if row.by_hand:
        return ()
    if row.power is PowerWish.ON:
        return (
            Button(_("⏹ Power off"), SetPower(deployment_id=row.id, wish=PowerWish.OFF)),
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
    names = enumerated(bold(row.name) for row in mine[:_LIST])
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


def ask_which(mine: Sequence[Deployment]) -> View:
    """Return the question which one `/delete` means: the newest are buttons, the others are in the lists."""
    rows: Rows = tuple(
        (Button(f"{sign(row)} {row.name}", AskDelete(deployment_id=row.id)),) for row in reversed(mine[-PAGE:])
    )
    if len(mine) > PAGE:
        rows = (*rows, (Button(_("🖥 Machines"), Machines()), Button(_("☸️ Clusters"), Clusters())))
    text = _("Which one? Type {example}, or choose it from the list.").format(example=code(f"/delete {mine[-1].name}"))
    return View(text, (*rows, (problems.home(),)))


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

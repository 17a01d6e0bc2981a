"""Buttons of administrators' screens that lead from one feature to another; what others have are in `links`."""

from enum import StrEnum

from bot.callbacks import LONGEST, Press, button

_QUERY_BYTES = LONGEST - len("au:") - len(":99999")


@button("ah")
class Panel(Press):
    """All that administrators can do."""


@button("au")
class Users(Press):
    """A page of customers, of all or those that a text finds."""

    text: str = ""
    page: int = 0

    @classmethod
    def of(cls, text: str) -> "Users":
        """Return the first page of those that a text finds; as much of it as a button can carry."""
        bare = text.strip().replace(":", " ").encode()[:_QUERY_BYTES]
        return cls(text=bare.decode(errors="ignore").strip())


@button("ac")
class ShowCustomer(Press):
    """One customer."""

    customer_id: int


class Which(StrEnum):
    """Deployments that are looked at together."""

    LIVE = "live"
    PROGRESS = "progress"
    SUCCESS = "success"
    DELETING = "deleting"
    FAILED = "failed"
    DELETED = "deleted"


@button("ad")
class AllDeployments(Press):
    """A page of deployments, of one customer or (0) of all."""

    which: Which = Which.LIVE
    customer_id: int = 0
    page: int = 0


@button("ai")
class AllInvoices(Press):
    """A page of invoices; `month` is 202601 or 0 for all, `customer_id` 0 for all."""

    unpaid: bool = False
    month: int = 0
    customer_id: int = 0
    page: int = 0


@button("al")
class AuditLog(Press):
    """A page of what was done, about one customer or (0) about anything."""

    customer_id: int = 0
    page: int = 0


@button("as")
class Stats(Press):
    """The figures of the business."""


@button("an")
class Announce(Press):
    """Announcements: the last ones, and how to make one."""


@button("ag")
class Administrators(Press):
    """Who runs the business."""


@button("ak")
class Parked(Press):
    """Messages that cannot be delivered."""


@button("am")
class Maintenance(Press):
    """Whether new deployments are stopped."""

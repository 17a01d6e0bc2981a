"""My data: of every table it is said whose the rows are, and no secret is among them (C16)."""

import bot.app  # noqa: F401 registers every table of the house
from billing.models import Base
from bot import my_data

LOOKS_SECRET = ("hash", "secret", "token", "private_key", "host_key", "password", "idempotency")
HARMLESS = {"host_key_fingerprint"}


def test_of_every_table_it_is_said_whose_the_rows_are() -> None:
    assert not list(my_data.undecided())
    assert set(Base.metadata.tables) >= my_data.NOT_THEIRS


def test_no_column_that_looks_secret_is_shown() -> None:
    shown = {
        column.name
        for table in Base.metadata.tables.values()
        if table.name not in my_data.NOT_THEIRS
        for column in table.columns
        if column.name not in my_data.HIDDEN | HARMLESS
    }
    assert not [name for name in shown if any(word in name for word in LOOKS_SECRET)]

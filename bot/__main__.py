"""The command line: `python -m bot`, or `vmbot`.

What a command needs is imported when it runs, so that `--help` answers at once.
"""

import argparse
import asyncio
import atexit
import os
import sys
from collections.abc import Sequence
from pathlib import Path

JOBS = {
    "meter": "record the hours that were used",
    "invoice": "meter, issue the invoices of ended months, settle them, cards included",
    "settle": "charge what is due by the retry calendar",
    "remind": "tell customers what is unpaid, and for how long funds last",
    "reap": "delete the deployments of those who did not pay",
    "reconcile": "look after machines, unknown payments and open Checkouts",
    "deliver": "send the messages that wait",
    "requests": "remind administrators of requests for vouchers that wait",
    "check": "compare what must be equal; exit 1 and list it when it is not",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0 done, 1 it failed, 2 the call or a setting is wrong."""
    parsed = _parser().parse_args(arguments)
    if parsed.version:
        return _version()
    if parsed.command == "demo":
        return _demo(parsed)
    from bot.settings import CannotStart, InvalidSettings  # noqa: PLC0415 - see the module's docstring

    try:
        if parsed.command == "migrate":
            return _migrate()
        if parsed.command in {"backup", "restore"}:
            return _copy(parsed.command, parsed.name)
        if parsed.command == "move":
            return _move(parsed.name)
        if parsed.command == "import":
            return _import(parsed)
        return _with_app(parsed.command, getattr(parsed, "name", ""))
    except InvalidSettings as error:
        return _refuse(error, 2)
    except CannotStart as error:
        return _refuse(error, 1)
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bot", description="A Telegram bot that sells virtual machines.")
    parser.add_argument("--version", action="store_true", help="show the version")
    parser.set_defaults(command="run")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", help="run, unless told otherwise")
    commands.add_parser("run", help="bot, web endpoints and scheduler in one process")
    commands.add_parser("migrate", help="bring the database to the newest schema")
    move = commands.add_parser("move", help="copy everything from another database into the empty one of DATABASE_URL")
    move.add_argument("name", metavar="SOURCE", help="an SQLite file, or the address of a database")
    former = commands.add_parser(
        "import", help="take over users, machines and vouchers of the former system, each once"
    )
    former.add_argument("name", type=Path, metavar="FILE", help="its SQLite database")
    former.add_argument("--dry-run", action="store_true", help="only say what would be taken over")
    former.add_argument(
        "--machine-worth", metavar="AMOUNT", help="voucher money for each machine of a quota or voucher"
    )
    former.add_argument("--address-worth", metavar="AMOUNT", help="the same for each public address")
    former.add_argument("--codes", type=Path, metavar="FILE", help="where to write codes of vouchers that are nobody's")
    listed = "\n".join(f"  {name:<10} {what}" for name, what in JOBS.items())
    job = commands.add_parser(
        "job",
        help="run one job once, now",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"jobs:\n{listed}",
    )
    job.add_argument("name", choices=JOBS, metavar="NAME")
    export = commands.add_parser("export", help="write the ledger for an accountant: FILE.csv or FILE.beancount")
    export.add_argument("name", type=_ledger_file, metavar="FILE", help="ends in .csv or .beancount")
    backup = commands.add_parser("backup", help="write a whole copy of the database into a file; it may be in use")
    backup.add_argument("name", type=Path, metavar="FILE")
    restore = commands.add_parser("restore", help="put such a copy in the place of everything in the database")
    restore.add_argument("name", type=Path, metavar="FILE")
    commands.add_parser("doctor", help="look at all that has to work, and say how to mend what does not; exit 1 then")
    demo = commands.add_parser("demo", help="the whole system on this machine, no account anywhere")
    demo.add_argument("--port", type=int, help="where the chat page is; the next free port if it is taken")
    demo.add_argument("--folder", type=Path, default=Path("data/demo"), help="where everything is kept")
    demo.add_argument("--clean", action="store_true", help="delete the demo's machines and its folder, and end")
    return parser


def _ledger_file(text: str) -> str:
    if Path(text).suffix not in (".csv", ".beancount"):
        raise argparse.ArgumentTypeError("FILE has to end in .csv or .beancount")
    return text


def _refuse(error: Exception, code: int) -> int:
    print(error, file=sys.stderr)  # noqa: T201 - the one line of the contract
    return code


def _version() -> int:
    print(_installed())  # noqa: T201 - what was asked for
    return 0


def _installed() -> str:
    from importlib.metadata import version  # noqa: PLC0415

    return version("vmbot")


def _demo(parsed: argparse.Namespace) -> int:
    from bot.demo.world import main as run_demo  # noqa: PLC0415

    port = parsed.port or int(os.environ.get("DEMO_PORT") or 0) or None
    return run_demo(folder=parsed.folder, port=port, clean=parsed.clean)


def _migrate() -> int:
    from bot import logs, migrate  # noqa: PLC0415
    from bot.settings import DatabaseSettings  # noqa: PLC0415

    settings = DatabaseSettings.load()
    logs.configure(settings.log_format, settings.secrets(), level=settings.log_level)
    asyncio.run(migrate.upgrade(settings.database))
    return 0


def _move(name: str) -> int:
    from billing.clock import SystemClock  # noqa: PLC0415
    from bot import logs, setting_types  # noqa: PLC0415
    from bot.move import move  # noqa: PLC0415
    from bot.settings import DatabaseSettings, InvalidSettings  # noqa: PLC0415

    settings = DatabaseSettings.load()
    logs.configure(settings.log_format, settings.secrets(), level=settings.log_level)
    if "://" not in name and not Path(name).is_file():
        raise InvalidSettings(f"SOURCE: there is no file {name}")
    try:
        source = setting_types.database_url(name if "://" in name else f"sqlite:///{Path(name).resolve()}")
    except ValueError as error:
        raise InvalidSettings(f"SOURCE: expected {error}") from None
    count = asyncio.run(move(source, settings.database, now=SystemClock().now()))
    print(f"{count} rows are there, each compared with the source, and the books agree")  # noqa: T201 the answer
    return 0


def _copy(command: str, path: Path) -> int:
    from billing.db import Database  # noqa: PLC0415
    from bot import backup, logs  # noqa: PLC0415
    from bot.settings import DatabaseSettings  # noqa: PLC0415

    settings = DatabaseSettings.load()
    logs.configure(settings.log_format, settings.secrets(), level=settings.log_level)

    async def act() -> None:
        database = Database(settings.database)
        try:
            await (backup.save if command == "backup" else backup.load)(database, path)
        finally:
            await database.close()

    asyncio.run(act())
    return 0


def _import(parsed: argparse.Namespace) -> int:
    from billing.errors import InvalidAmount  # noqa: PLC0415
    from bot import importing, logs  # noqa: PLC0415
    from bot.settings import InvalidSettings, Settings  # noqa: PLC0415

    settings = Settings.load()
    logs.configure(settings.log_format, settings.secrets(), level=settings.log_level)
    currency = settings.terms().currency
    worth = (parsed.machine_worth, parsed.address_worth)
    try:
        machine, address = (currency.parse(text) if text else None for text in worth)
    except InvalidAmount as error:
        raise InvalidSettings(f"--machine-worth, --address-worth: {error}") from None
    if not parsed.name.is_file():
        raise InvalidSettings(f"FILE: there is no file {parsed.name}")
    from bot.app import App  # noqa: PLC0415

    async def act() -> importing.Plan:
        async with App(settings) as app:
            return await importing.run(
                app.database,
                parsed.name,
                worth=importing.Worth(machine, address),
                codes=parsed.codes,
                currency=currency,
                now=app.clock.now(),
                dry=parsed.dry_run,
            )

    plan = asyncio.run(act())
    print("would take over:" if parsed.dry_run else "taken over:")  # noqa: T201 the answer
    print("\n".join(plan.summary(currency)))  # noqa: T201 the same
    if plan.users and not settings.smtp_url and not parsed.dry_run:
        print("SMTP_URL is empty: no link is mailed; /former shows a link for each of them")  # noqa: T201 the same
    return 0


def _with_app(command: str, name: str) -> int:
    from bot import logs  # noqa: PLC0415
    from bot.settings import Settings  # noqa: PLC0415

    settings = Settings.load()  # before the rest is imported: what is wrong is said at once
    logs.configure(settings.log_format, settings.secrets(), level=settings.log_level)
    from bot.app import App  # noqa: PLC0415

    if settings.sentry_dsn is not None:
        from bot import error_reports  # noqa: PLC0415 an extra

        redact = logs.Redactor(settings.secrets())
        atexit.register(error_reports.start(settings.sentry_dsn.get_secret_value(), redact, version=_installed()))

    async def act() -> int:
        async with App(settings) as app:
            if command == "job":
                return await app.job(name)
            if command == "export":
                return await app.export(Path(name))
            return await app.run()

    async def examine() -> int:
        from bot import doctor  # noqa: PLC0415 it asks Alembic

        app = App(settings)  # not opened: doctor looks at what does not open
        try:
            return await doctor.examine(app)
        finally:
            await app.close()

    return asyncio.run(examine() if command == "doctor" else act())


if __name__ == "__main__":
    sys.exit(main())

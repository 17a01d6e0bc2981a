"""Each row of both tables of commands, typed: what it answers, and what it answers to bad words (contract.md)."""

from collections.abc import Sequence
from datetime import UTC, datetime

from bot.demo.telegram import Person
from tests.flows.presses import handled
from tests.flows.test_machines import deployed
from tests.flows.test_order import with_card
from tests.flows.world import World

NO_AMOUNT = "is not an amount I can use"
HOW_TO_DEPLOY = "1 to 10 workers"
NOBODY = "I know nobody with the number or name"
UNKNOWN = "I do not know this command"
NO_VOUCHER = "no voucher that can be redeemed"

CUSTOMERS = (
    ("/start", "Hello Ann"),
    ("/start v_NOPE", NO_VOUCHER),
    ("/start e_NOPE", "This link does not work"),
    ("/start zz_1", "Hello Ann"),
    ("/prices", "$5.00 (with public IP $6.00)"),
    ("/prices now", "$5.00 (with public IP $6.00)"),
    ("/deploy", "What would you like to deploy?"),
    ("/deploy vm", HOW_TO_DEPLOY),
    ("/deploy vm huge web-2", HOW_TO_DEPLOY),
    ("/deploy vm small WEB_2", "WEB_2 is no host name"),
    ("/deploy vm small web", "You have something called web already"),
    ("/deploy k8s small lab", HOW_TO_DEPLOY),
    ("/deploy k8s small lab 0", HOW_TO_DEPLOY),
    ("/deploy k8s small lab 11", HOW_TO_DEPLOY),
    ("/deploy k8s small lab x", HOW_TO_DEPLOY),
    ("/deploy vm small web-2 public", "$6.00 a month"),
    ("/deploy k8s medium lab 3 public", "$45.00 a month"),
    ("/vms", "web – small, success"),
    ("/vms x", "web – small, success"),
    ("/k8s", "You have no cluster"),
    ("/delete", "Which one?"),
    ("/delete nope", "You have nothing called nope"),
    ("/delete web", "Delete web?"),
    ("/deleteall", "Delete 1 deployment"),
    ("/voucher", "Send me the voucher code"),
    ("/voucher x", NO_VOUCHER),
    ("/voucher 7K2M-9QXA-41TB-ZC6D-8WPE", NO_VOUCHER),
    ("/apply", "How much do you need?"),
    ("/apply x", NO_AMOUNT),
    ("/apply -5 x", NO_AMOUNT),
    ("/apply 5.00", "What is it for?"),
    ("/apply 5.00 for a meetup", "is with the administrators"),
    ("/addcard", "payment page"),
    ("/cards", "Visa •4242"),
    ("/balance", "Balance: $0.00"),
    ("/topup", "How much shall I charge"),
    ("/topup x", NO_AMOUNT),
    ("/topup 0", NO_AMOUNT),
    ("/topup 99999999", "from $5.00 to $1,000.00"),
    ("/topup 10.00", "Charge $10.00"),
    ("/invoices", "Your invoices"),
    ("/invoice", "Which one?"),
    ("/invoice x", "You have no invoice"),
    ("/invoice INV-2026-000009", "You have no invoice INV-2026-000009"),
    ("/invoice INV-2026-000001", "web: 516 hours at $5.00 a month = $3.84"),
    ("/pay", "Nothing is to be paid"),
    ("/pay x", "You have no invoice x"),
    ("/pay INV-2026-000009", "You have no invoice INV-2026-000009"),
    ("/pay INV-2026-000001", "INV-2026-000001 is paid"),
    ("/usage", "web: 1 hour, $0.01"),
    ("/settings", "1 SSH key"),
    ("/sshkey", "Send me your public SSH key"),
    ("/sshkey x", "not an SSH public key"),
    ("/email", "No mail is sent here"),
    ("/email x", "No mail is sent here"),
    ("/support", "What can we help with?"),
    ("/support it hurts", "Passed on"),
    ("/help", "/deploy"),
    ("/cancel", "Hello Ann"),
    ("/nonsense", UNKNOWN),
    ("/admin", UNKNOWN),
    ("/setprice vm small 1.00", UNKNOWN),
)
"""What a customer types, in this order, and a part of the answer; with a mail server: test_settings.py."""

ADMINISTRATORS = (
    ("/admin", "The business now"),
    ("/setprice", "Type what, size and monthly price"),
    ("/setprice vm small", "Type what, size and monthly price"),
    ("/setprice vm huge 5", "Type what, size and monthly price"),
    ("/setprice vm small x", NO_AMOUNT),
    ("/setprice vm small 0", NO_AMOUNT),
    ("/setprice vm small 6.00", "1 deployment keeps $5.00"),
    ("/setprice k8s large 20.00 public", "k8s large with public IP"),
    ("/allinvoices", "1 invoice, $3.84 in all"),
    ("/allinvoices unpaid", "0 invoices"),
    ("/allinvoices 2026-01", "Invoices for January 2026"),
    ("/allinvoices x", "Type which invoices"),
    ("/allinvoices unpaid 2026-13", "Type which invoices"),
    ("/newvoucher", "Which vouchers?"),
    ("/newvoucher x", NO_AMOUNT),
    ("/newvoucher 0", NO_AMOUNT),
    ("/newvoucher 5 0", "cannot be made"),
    ("/newvoucher 5 501", "cannot be made"),
    ("/newvoucher 5 1 0", "cannot be made"),
    ("/newvoucher 5.00", "1 voucher of $5.00"),
    ("/newvoucher 5.00 3 30", "3 vouchers of $5.00 each"),
    ("/vouchers", "Vouchers, newest first"),
    ("/requests", "Ann (1) asks for $5.00"),
    ("/users", "Customers, newest first"),
    ("/users zzz", "Nobody fits zzz"),
    ("/users Ann", "Customers with Ann"),
    ("/user", "Whom?"),
    ("/user x", NOBODY),
    ("/user 99", NOBODY),
    ("/user 1", "Credit limit $200.00"),
    ("/deployments", "🟢 1"),
    ("/block", "Whom?"),
    ("/block x", NOBODY),
    ("/block 99", NOBODY),
    ("/block 1", "Ann (1) is blocked"),
    ("/unblock", "Whom?"),
    ("/unblock 99", NOBODY),
    ("/unblock 1", "Ann (1) is not blocked"),
    ("/limit", "Whom?"),
    ("/limit 1", "Type the new one"),
    ("/limit 1 x", NO_AMOUNT),
    ("/limit 99 5", NOBODY),
    ("/limit 1 300.00", "The credit limit of Ann (1) is $300.00"),
    ("/credit", "Whom?"),
    ("/credit 1", "Type amount and reason"),
    ("/credit 1 x y", NO_AMOUNT),
    ("/credit 99 5 y", NOBODY),
    ("/credit 1 5.00", "A correction needs an amount and a reason"),
    ("/credit 1 5.00 sorry", "$5.00 credited to Ann (1)"),
    ("/refund", "Type the number"),
    ("/refund x", "There is no invoice x"),
    ("/refund INV-2026-000009", "There is no invoice INV-2026-000009"),
    ("/refund INV-2026-000001 x", NO_AMOUNT),
    ("/refund INV-2026-000001 999", "At most $3.84"),
    ("/refund INV-2026-000001 1.00", "Credit $1.00 of INV-2026-000001"),
    ("/refund INV-2026-000001", "Credit $3.84 of INV-2026-000001"),
    ("/announce", "Type the announcement"),
    ("/announce hello", "This goes to everybody, 2 customers"),
    ("/maintenance", "Maintenance is off"),
    ("/maintenance x", "Type /maintenance on or /maintenance off"),
    ("/maintenance on", "Maintenance is on"),
    ("/maintenance off", "Maintenance is off"),
    ("/grant", "Who shall be an administrator?"),
    ("/grant x", "I know nobody called x"),
    ("/grant 1", "Ann (1) is an administrator now"),
    ("/revoke", "Who shall be an administrator no more?"),
    ("/revoke x", "Who shall be an administrator no more?"),
    ("/revoke 55", "was not made an administrator here"),
    ("/revoke 9000", "can only be taken out there"),
    ("/revoke 1", "Ann (1) is no administrator any more"),
    ("/audit", "Who did what"),
    ("/stats", "Revenue: $3.84"),
)
"""What an administrator types after it."""


async def test_every_row_of_the_contract_answers_to_good_and_bad_words(world: World) -> None:
    ann = await with_card(world, world.person())
    await deployed(ann, "vm small web", "web")
    await world.admin.start()
    await world.move_to(datetime(2026, 2, 1, 0, 11, tzinfo=UTC))
    await ann.wait_for_text("is paid")
    await world.settled()
    await converse(world, ann, CUSTOMERS)
    await converse(world, world.admin, ADMINISTRATORS)


async def converse(world: World, person: Person, rows: Sequence[tuple[str, str]]) -> None:
    """Type one after the other; each is answered as it should be, and leads on."""
    for typed, part in rows:
        await person.send(typed)
        answer = await person.wait_for_text(part)
        assert answer.buttons, typed
        await handled(world)

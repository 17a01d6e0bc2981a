"""A full run with the log at its most talkative: nothing secret is in any line, figure or message."""

import re
from pathlib import Path

import httpx

from billing.vouchers import normalise
from bot.demo.stripe.server import TEST_KEY
from tests.crash.flows import adds_card, code, deletes, deploys, has_key, tops_up
from tests.crash.house import _SECRET, PATIENCE, House, open_house
from tests.flows.world import VISA

_DIGITS = re.compile(r"[\s-]")


async def everything(house: House) -> str:
    """One customer does what there is to do, with wrong turns; return the voucher's code."""
    ann = house.person(100)
    await has_key(house, ann)
    secret = await code(house, ann)
    for text in (f"/voucher {secret}", f"/voucher {secret}", f"/start v_{secret}", f"/voucher {secret[:-1]}0"):
        await ann.send(text)
        await ann.wait_for_text("oucher", timeout_s=PATIENCE)
    await ann.send(f"my card is {VISA}")
    await ann.wait_for_text("", timeout_s=PATIENCE)
    await adds_card(house, ann)
    await tops_up(house, ann)
    house.stripe.control.fault("error_before", times=1)
    house.telegram.faults.add("error", "sendMessage", description=f"no such chat for {house.telegram.token}")
    await deploys(house, ann)
    await deletes(house, ann)
    await house.settled()
    return secret


def found_in(text: str, secrets: dict[str, str]) -> list[str]:
    """Which secrets a text holds, however they are grouped."""
    bare = _DIGITS.sub("", text).upper()
    return [name for name, secret in secrets.items() if _DIGITS.sub("", secret).upper() in bare]


async def test_no_output_of_a_full_run_holds_a_secret(tmp_path: Path, sqlite_url: str) -> None:
    async with open_house(tmp_path, sqlite_url, LOG_LEVEL="debug") as house:
        replica = await house.add_replica()
        voucher = await everything(house)
        secrets = {
            "token": house.telegram.token,
            "token's second half": house.telegram.token.partition(":")[2],
            "Stripe's key": TEST_KEY,
            "webhook's secret": _SECRET,
            "card": VISA,
            "voucher": normalise(voucher) or "",
        }
        async with httpx.AsyncClient(trust_env=False) as client:
            outputs = {
                path: (await client.get(f"http://127.0.0.1:{replica.port}{path}")).text
                for path in ("/metrics", "/readyz", "/healthz", "/checkout/done?session_id=x", "/telegram", "/stripe")
            }
        assert await replica.stop() == 0
        outputs |= {name: (tmp_path / name).read_text() for name in ("product-0.log", "zygote.log")}
        person = house.person(100)
        outputs["chat"] = "\n".join(str(message.wire) for message in person.messages if message.from_bot)
    assert "running as" in outputs["product-0.log"]
    assert {name: found for name, text in outputs.items() if (found := found_in(text, secrets))} == {}
    assert found_in(f"x{voucher.lower()}", secrets) == ["voucher"]

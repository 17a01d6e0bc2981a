"""Delivery to the bot's webhook: in order per chat, over several connections, again until it is taken."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx

from bot.demo.telegram.updates import Hook, Pending, Updates

_LONGEST_WAIT_S = 60.0
_MOST_DOUBLINGS = 20
_TIMEOUT_S = 60.0
_SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 - the header's name
Answer = Callable[[str, dict[str, Any]], Awaitable[object]]
"""Carries out a method that the bot wrote into its answer."""


class Delivery:
    """Posts pending updates to the webhook for as long as one is set.

    Args:
        updates: the queue.
        now: seconds, for `last_error_date`.
        answer: carries out a call that came as the webhook's answer.
        retry_s: wait after the first failure, doubled after each further one up to a minute.
    """

    def __init__(self, updates: Updates, now: Callable[[], int], answer: Answer, *, retry_s: float = 1.0) -> None:
        self._updates = updates
        self._now = now
        self._answer = answer
        self._retry_s = retry_s
        self._busy: set[int] = set()
        """Keys with a delivery under way, never more than one each."""
        self._under_way: set[asyncio.Task[None]] = set()
        self._loop: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to deliver, now and whenever a webhook is set."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """End deliveries under way; what was not taken stays pending."""
        tasks = [task for task in (self._loop, *self._under_way) if task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._loop = None

    async def _run(self) -> None:
        # A certificate is not checked: the webhook is this machine's own.
        async with httpx.AsyncClient(timeout=_TIMEOUT_S, trust_env=False, verify=False) as client:  # noqa: S501 - see above
            while True:
                hook = self._updates.hook
                wait_s = self._deliver_ready(client, hook) if hook else None
                await self._updates.changed.wait(wait_s)

    def _deliver_ready(self, client: httpx.AsyncClient, hook: Hook) -> float | None:
        """Start what can go now; returns the seconds until something else can, or nothing."""
        now = asyncio.get_running_loop().time()
        passed = set(self._busy)
        waits = []
        for item in self._updates.pending.values():
            if len(self._busy) >= hook.max_connections:
                break
            if item.key in passed:
                continue
            passed.add(item.key)
            if item.ready_at > now:
                waits.append(item.ready_at - now)
            else:
                self._busy.add(item.key)
                task = asyncio.get_running_loop().create_task(self._deliver(client, hook, item))
                self._under_way.add(task)
                task.add_done_callback(self._under_way.discard)
        return min(waits, default=None)

    async def _deliver(self, client: httpx.AsyncClient, hook: Hook, item: Pending) -> None:
        error = ""
        try:
            headers = {_SECRET_HEADER: hook.secret_token} if hook.secret_token else {}
            response = await client.post(hook.url, json=item.update, headers=headers)
            if response.is_success:
                await self._call_in_answer(response)
            else:
                error = f"Wrong response from the webhook: {response.status_code} {response.reason_phrase}"
        except httpx.TimeoutException:
            error = "Read timeout expired"
        except httpx.ConnectError:
            error = "Connection refused"
        except httpx.HTTPError:
            error = "Connection reset by peer"
        finally:
            self._busy.discard(item.key)
        if error:
            self._failed(hook, item, error)
        else:
            self._updates.taken(item)

    def _failed(self, hook: Hook, item: Pending, error: str) -> None:
        item.ready_at = asyncio.get_running_loop().time() + min(
            self._retry_s * 2 ** min(item.attempts, _MOST_DOUBLINGS), _LONGEST_WAIT_S
        )
        item.attempts += 1
        hook.last_error = {"last_error_date": self._now(), "last_error_message": error}
        self._updates.changed.ring()

    async def _call_in_answer(self, response: httpx.Response) -> None:
        try:
            body = response.json()
        except (json.JSONDecodeError, UnicodeDecodeError):
            return
        if isinstance(body, dict) and isinstance(body.get("method"), str):
            await self._answer(body.pop("method"), body)

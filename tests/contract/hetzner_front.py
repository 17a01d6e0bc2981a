"""What cloudalone lacks of Hetzner's API, in front of it: private networks and labels, and errors on demand.

Written from the reference of the API. Everything else goes through to cloudalone.
"""

import itertools
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import requests


class Front:
    """Networks, and what was ordered."""

    def __init__(self, behind: str) -> None:
        self.behind = behind
        self.networks: dict[int, dict[str, Any]] = {}
        self.members: dict[int, int] = {}
        """Server -> network."""
        self.orders: list[dict[str, Any]] = []
        """Every order of a server as it came, newest last."""
        self.refusals: list[tuple[int, str]] = []
        """Status and code that the next orders get instead."""
        self.numbers = itertools.count(1)
        self.created = "2026-01-10T12:00:00+00:00"
        self.lock = threading.Lock()

    def network(self, wanted: dict[str, Any]) -> dict[str, Any]:
        """Make a network."""
        number = next(self.numbers)
        ranges = {"subnets": wanted["subnets"], "routes": [], "ip_range": wanted["ip_range"]}
        about = {"servers": [], "protection": {"delete": False}, "expose_routes_to_vswitch": False}
        self.networks[number] = {"id": number, "name": wanted["name"], "labels": wanted["labels"], "load_balancers": []}
        self.networks[number] |= ranges | about | {"created": self.created}
        return self.networks[number]

    def show(self, server: dict[str, Any]) -> None:
        """Put its address in its network into what cloudalone says of a server."""
        network = self.members.get(server["id"])
        if network is not None:
            place = self.networks[network]["servers"].index(server["id"]) + 2
            address = {"network": network, "ip": f"10.64.0.{place}", "alias_ips": [], "mac_address": ""}
            server["private_net"] = [address]


class _Handler(BaseHTTPRequestHandler):
    front: Front
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._any(None)

    def do_DELETE(self) -> None:
        self._any(None)

    def do_POST(self) -> None:
        self._any(json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"{}"))

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _any(self, body: dict[str, Any] | None) -> None:
        with self.front.lock:
            if "/networks" in self.path:
                self._networks(body)
            else:
                self._through(body)

    def _networks(self, body: dict[str, Any] | None) -> None:
        front = self.front
        if body is not None:
            self._answer(201, {"network": front.network(body)})
        elif self.command == "DELETE":
            front.networks.pop(int(self.path.rpartition("/")[2]))
            self._answer(204, None)
        else:
            name = self.path.partition("name=")[2].partition("&")[0] if "name=" in self.path else ""
            found = [network for network in front.networks.values() if name in {"", network["name"]}]
            pagination = {"page": 1, "per_page": 50, "total_entries": len(found), "last_page": 1}
            pages = {"pagination": pagination | {"previous_page": None, "next_page": None}}
            self._answer(200, {"networks": found, "meta": pages})

    def _through(self, body: dict[str, Any] | None) -> None:
        front = self.front
        is_order = body is not None and self.path.endswith("/servers")
        if is_order and front.refusals:
            status, code = front.refusals.pop(0)
            self._answer(status, {"error": {"code": code, "message": code, "details": None}})
            return
        headers = {"Authorization": self.headers["Authorization"]}
        url = front.behind + self.path.removeprefix("/v1")
        answer = requests.request(self.command, url, json=body, headers=headers, timeout=20)
        told = answer.json() if answer.content else None
        if is_order and body is not None and told is not None and answer.ok:
            front.orders.append(body)
            for network in body.get("networks", ()):
                front.members[told["server"]["id"]] = network
                front.networks[network]["servers"].append(told["server"]["id"])
        if self.command == "DELETE" and answer.ok:
            gone = int(self.path.rpartition("/")[2])
            network = front.members.pop(gone, None)
            if network is not None:
                front.networks[network]["servers"].remove(gone)
        for server in (told or {}).get("servers", []) if answer.ok else []:
            front.show(server)
        self._answer(answer.status_code, told)

    def _answer(self, status: int, body: dict[str, Any] | None) -> None:
        content = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def served(behind: str) -> Iterator[tuple[str, Front]]:
    """Serve in front of a cloudalone, and yield address and what is known."""
    front = Front(behind)
    handler = type("Handler", (_Handler,), {"front": front})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1", front
        server.shutdown()

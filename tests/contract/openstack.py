"""A stand-in for OpenStack: as much of its identity (v3) and compute (v2.1) APIs as making machines takes.

Written from their reference documents, since no stand-in of others' can be had. A machine is `BUILD` for one look, and
its network gives each one address for good. The quota is `CAPACITY` machines.
"""

import itertools
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

CAPACITY = 4
USER, PASSWORD, PROJECT = "shop", "stand-in", "machines"
TOKEN = "a-token"
FLAVORS = (("1", "m1.small", 1, 2048, 30), ("2", "m1.medium", 2, 4096, 60), ("3", "m1.large", 4, 8192, 120))


class World:
    """The machines of one project."""

    def __init__(self) -> None:
        self.servers: dict[str, dict[str, Any]] = {}
        self.looks: dict[str, int] = {}
        self.orders: list[dict[str, Any]] = []
        """Every order as it came, newest last."""
        self.lock = threading.Lock()
        self.numbers = itertools.count(10)
        self.fault = ""
        """The next order fails to be placed, for this reason."""

    def order(self, wanted: dict[str, Any], address: str) -> dict[str, Any] | None:
        """Make a machine, unless the quota is used up."""
        if len(self.servers) >= CAPACITY:
            return None
        self.orders.append(wanted)
        number = next(self.numbers)
        server_id = f"00000000-0000-0000-0000-{number:012d}"
        self.servers[server_id] = {
            "id": server_id,
            "name": wanted["name"],
            "status": "BUILD",
            "addresses": {"net": [{"addr": f"10.20.0.{number % 250}", "version": 4, "OS-EXT-IPS:type": "fixed"}]},
            "hostId": "",
            "tenant_id": "p1",
            "image": {"id": wanted["imageRef"]},
            "flavor": {"id": wanted["flavorRef"]},
            "links": [{"rel": "self", "href": f"{address}/v2.1/servers/{server_id}"}],
            "metadata": wanted.get("metadata", {}),
            "created": "2026-01-10T12:00:00Z",
            "updated": "2026-01-10T12:00:00Z",
        }
        if self.fault:
            self.servers[server_id] |= {"status": "ERROR", "fault": {"code": 500, "message": self.fault}}
            self.fault = ""
        return self.servers[server_id]

    def look(self) -> list[dict[str, Any]]:
        """Show all machines; what is being made or started is done by the second look."""
        for server_id, server in self.servers.items():
            if server["status"] in {"BUILD", "REBOOT"}:
                self.looks[server_id] = self.looks.get(server_id, 0) + 1
                if self.looks[server_id] > 1:
                    server["status"] = "ACTIVE"
                    self.looks[server_id] = 0
        return list(self.servers.values())

    def act(self, server: dict[str, Any], action: dict[str, Any]) -> int:
        """Do what is asked of a machine; return the status of the answer."""
        needed, then = {
            "os-start": ("SHUTOFF", "BUILD"),
            "os-stop": ("ACTIVE", "SHUTOFF"),
            "reboot": ("ACTIVE", "REBOOT"),
        }[next(iter(action))]
        if server["status"] != needed:
            return 409
        server["status"] = then
        return 202


class _Handler(BaseHTTPRequestHandler):
    world: World
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        with self.world.lock:
            if not self._known():
                return
            path = self.path.partition("?")[0]
            if path == "/v2.1/servers/detail":
                self._answer(200, {"servers": self.world.look()})
            elif path == "/v2.1/flavors/detail":
                keys = ("id", "name", "vcpus", "ram", "disk")
                flavors = [{"swap": "", "links": []} | dict(zip(keys, row, strict=True)) for row in FLAVORS]
                self._answer(200, {"flavors": flavors})
            elif server := self.world.servers.get(path.removeprefix("/v2.1/servers/")):
                self._answer(200, {"server": server})
            else:
                self._answer(404, {"itemNotFound": {"message": "not found", "code": 404}})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.world.lock:
            if self.path == "/v3/auth/tokens":
                self._log_in(body["auth"])
            elif not self._known():
                return
            elif self.path == "/v2.1/servers":
                server = self.world.order(body["server"], self._address)
                quota = {"forbidden": {"code": 403, "message": "Quota exceeded for instances: Requested 1"}}
                self._answer(202, {"server": server}) if server else self._answer(403, quota)
            else:
                server = self.world.servers.get(self.path.split("/")[3])
                self._answer(self.world.act(server, body) if server else 404, {})

    def do_DELETE(self) -> None:
        with self.world.lock:
            if self._known():
                gone = self.world.servers.pop(self.path.rpartition("/")[2], None)
                self._answer(204 if gone else 404, {})

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    @property
    def _address(self) -> str:
        return f"http://{self.headers['Host']}"

    def _known(self) -> bool:
        if self.headers.get("X-Auth-Token") == TOKEN:
            return True
        self._answer(401, {"error": {"code": 401, "message": "The request you have made requires authentication."}})
        return False

    def _log_in(self, auth: dict[str, Any]) -> None:
        user = auth["identity"]["password"]["user"]
        if (user["name"], user["password"], auth["scope"]["project"]["name"]) != (USER, PASSWORD, PROJECT):
            self._answer(401, {"error": {"code": 401, "message": "The request you have made requires authentication."}})
            return
        endpoint = {"url": f"{self._address}/v2.1", "interface": "public", "region": "here", "region_id": "here"}
        compute = {"type": "compute", "name": "nova", "id": "c", "endpoints": [endpoint | {"id": "e"}]}
        token = {
            "expires_at": "2126-01-10T12:00:00.000000Z",
            "user": {"id": "u1", "name": USER},
            "roles": [{"id": "r1", "name": "member"}],
            "catalog": [compute],
        }
        self._answer(201, {"token": token}, {"X-Subject-Token": TOKEN})

    def _answer(self, status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        content = b"" if status == 204 else json.dumps(body).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def served() -> Iterator[tuple[str, World]]:
    """Serve an empty project, and yield its address and its machines."""
    world = World()
    handler = type("Handler", (_Handler,), {"world": world})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", world
        server.shutdown()

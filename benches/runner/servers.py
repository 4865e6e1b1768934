"""The servers under load: the gateway, libcoap's servers, and the sink in place of ThingsBoard.

Each step starts new servers, so that memory of an earlier step does not count, and the servers of a comparison never
run at the same time.
"""

from __future__ import annotations

import http.client
import json
import random
import re
import socket
import time
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .children import Child, Children, Failure, wait_for
from .processes import listens_on_udp
from .world import Limits, Stored, World

# How long a server may take to start, in seconds.
START = 30.0
# For the handshakes step only, whose rate would exceed this limit.
RAISED: dict[str, int] = {"hellos": 1_000_000}

LIBCOAP = {"openssl": "coap-server-openssl", "gnutls": "coap-server-gnutls"}


@dataclass(frozen=True)
class Server:
    """Where a server listens, and which process it is."""

    address: str
    child: Child

    @property
    def pid(self) -> int:
        return self.child.pid

    def check(self) -> None:
        """Raises a failure if the server has ended."""
        self.child.check_alive()


class Sink(Server):
    """An HTTP server that answers every post with 200, and counts them."""

    @staticmethod
    def start(children: Children, world: World, name: str = "sink") -> Sink:
        child = children.start(name, [world.program("bench"), "sink"])
        address = child.await_output("its address", START, lambda text: next(iter(text.splitlines()), None))
        return Sink(address, child)

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def posts(self) -> tuple[float, int]:
        """The current time, and the number of posts so far."""
        with urllib.request.urlopen(self.url, timeout=10) as answer:
            count = int(answer.read())
        return time.monotonic(), count

    def rate(self, seconds: float) -> float:
        """Posts a second during the next `seconds`."""
        began, before = self.posts()
        time.sleep(seconds)
        ended, after = self.posts()
        return (after - before) / (ended - began)


class Simulator(Server):
    """The simulated ThingsBoard, over HTTP and MQTT, with devices of the world."""

    mqtt: str

    @staticmethod
    def start(children: Children, world: World, devices: Iterable[str]) -> Simulator:
        listen = ["--listen", "127.0.0.1:0", "--mqtt", "127.0.0.1:0", "--log", "warn"]
        child = children.start("simulator", [world.program("thingsboard-simulator"), *listen])
        found = child.await_output("its addresses", START, lambda text: re.search(r"http://(\S+)\s.*mqtt://(\S+)\s", text, re.S))
        simulator = Simulator(found.group(1), child)
        object.__setattr__(simulator, "mqtt", found.group(2))
        tokens = world.tokens
        control = simulator.control()
        # Tomcat's limit counts polls, of which there is one for each observing device.
        control.put("/simulator/connections", {"max": 50_000})
        for name in devices:
            control.put(f"/simulator/devices/{name}", {"token": tokens[name]})
        return simulator

    def url(self, scheme: str) -> str:
        return f"http://{self.address}" if scheme == "http" else f"mqtt://{self.mqtt}"

    def control(self) -> Control:
        return Control(self.address)


class Tls(Server):
    """TLS in front of the simulator's MQTT, with the certificate of the gateway."""

    @staticmethod
    def start(children: Children, world: World, mqtt: str) -> Tls:
        files = ["--certificate", world.certificates / "server.pem", "--key", world.certificates / "server.key"]
        child = children.start("tls", [world.program("bench"), "tls", mqtt, *files])
        address = child.await_output("its address", START, lambda text: next(iter(text.splitlines()), None))
        return Tls(address, child)

    @property
    def url(self) -> str:
        # The certificate is for this name.
        return f"mqtts://localhost:{self.address.rsplit(':', 1)[1]}"


class Control:
    """A connection to the simulator's controls."""

    def __init__(self, address: str) -> None:
        self._connection = http.client.HTTPConnection(address, timeout=30)

    def call(self, method: str, path: str, body: object = None) -> Any:
        text = None if body is None else json.dumps(body)
        self._connection.request(method, path, text)
        answer = self._connection.getresponse()
        read = answer.read()
        if answer.status >= 300:
            raise Failure(f"the simulator: {method} {path}: {answer.status} {read[:200]!r}")
        return json.loads(read) if read else None

    def get(self, path: str) -> Any:
        return self.call("GET", path)

    def put(self, path: str, body: object) -> Any:
        return self.call("PUT", path, body)

    def post(self, path: str, body: object) -> Any:
        return self.call("POST", path, body)


def gateway(
    children: Children,
    world: World,
    upstream: str,
    limits: Limits | None = None,
    cpu: int | None = None,
    relay: Limits | None = None,
    program: Path | None = None,
    stored: Stored | None = None,
    name: str = "gateway",
) -> Server:
    """The gateway with these limits and otherwise its defaults; on one core if one is given. `program`: another gateway."""
    configuration = world.configuration(upstream, limits or {}, relay, stored)
    command: list[str | Path] = [program or world.gateway_program, "run", "--config", configuration]
    child = children.start(name, [*pinned(cpu), *command])
    return Server(child.await_output("it listened", START, _address), child)


def _address(log: str) -> str | None:
    plain = re.sub(r"\x1b\[[0-9;]*m", "", log)
    found = re.search(r"listening for CoAPs.*address=\"?([0-9.:]+)", plain)
    return found and found.group(1)


def libcoap(children: Children, world: World, library: str, cpu: int | None = None) -> Server:
    """One of libcoap's example servers. With `-C` it demands a certificate from each client and verifies it."""
    port = _two_ports()
    certificates = world.certificates
    pair: list[str | Path] = [
        "-c",
        certificates / "server.pem",
        "-j",
        certificates / "server.key",
        "-C",
        certificates / "ca.pem",
    ]
    # Log level 2 (critical), so that logging costs nothing in the comparison.
    program: list[str | Path] = [LIBCOAP[library], "-A", "127.0.0.1", "-p", str(port), "-v", "2", *pair]
    child = children.start(f"coap-server-{library}", [*pinned(cpu), *program])
    server = Server(f"127.0.0.1:{port + 1}", child)

    def listening() -> bool | None:
        server.check()
        return listens_on_udp(port + 1) or None

    wait_for(f"{LIBCOAP[library]} on port {port + 1}", START, listening)
    return server


def pinned(cpu: int | None) -> list[str]:
    """The command that pins a program to a core. taskset executes the program, so the process id is the program's."""
    return [] if cpu is None else ["taskset", "-c", str(cpu)]


def _two_ports() -> int:
    """Finds two consecutive free ports, and returns the first. libcoap listens on a port for CoAP and on the next for
    CoAPs, both UDP and TCP; it does not accept port 0."""
    for _ in range(100):
        port = random.randrange(20_000, 32_000)
        bound = []
        try:
            for number in (port, port + 1):
                for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                    one = socket.socket(socket.AF_INET, kind)
                    bound.append(one)
                    one.bind(("127.0.0.1", number))
            return port
        except OSError:
            continue
        finally:
            for one in bound:
                one.close()
    raise Failure("no two consecutive free ports were found")

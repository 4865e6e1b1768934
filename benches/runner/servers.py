"""The servers under load: the gateway, libcoap's servers, and the sink in place of ThingsBoard.

Each step starts new servers, so that memory of an earlier step does not count, and the servers of a comparison never
run at the same time.
"""

from __future__ import annotations

import random
import re
import socket
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from .children import Child, Children, Failure, wait_for
from .processes import listens_on_udp
from .world import Limits, World

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
    def start(children: Children, world: World) -> Sink:
        child = children.start("sink", [world.program("bench"), "sink"])
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


def gateway(
    children: Children,
    world: World,
    upstream: str,
    limits: Limits | None = None,
    cpu: int | None = None,
) -> Server:
    """The gateway with these limits and otherwise its defaults; on one core if one is given."""
    configuration = world.configuration(upstream, limits or {})
    program: list[str | Path] = [world.gateway_program, "run", "--config", configuration]
    child = children.start("gateway", [*pinned(cpu), *program])
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

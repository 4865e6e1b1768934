"""Devices that observe: memory of the gateway for each, over HTTP, MQTT and MQTT with TLS.

Each is compared with a gateway of as many observing devices whose ThingsBoard can't be reached. It has their sessions and
observations, and no connections: the difference is upstream's side. All sessions have DTLS 1.2.

Commands are observed. For attributes each registration is a request to ThingsBoard as well, and over MQTT those beyond
`upstream.max_in_flight` that wait for a connection get 5.03.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from . import processes, servers
from .children import wait_for
from .options import Options
from .servers import Simulator, Tls
from .step import Bench, Step
from .world import VERSIONS, device_names

# How long the sessions stay at most, in seconds; they are closed when memory has been read.
STAY = 300.0
UPSTREAMS = {
    "none": "without ThingsBoard",
    "http": "over HTTP",
    "mqtt": "over MQTT",
    "mqtts": "over MQTT with TLS",
}


def steps(options: Options) -> list[Step]:
    count = options.observing
    return [
        Step(f"memory with {count:,} observing devices {how}", 10 + count / 300, partial(memory, upstream))
        for upstream, how in UPSTREAMS.items()
    ]


def memory(upstream: str, bench: Bench) -> str:
    count = bench.world.options.observing
    settle = min(2.0, bench.seconds)
    with closed_port() as port:
        simulator = Simulator.start(bench.children, bench.world, device_names(count))
        if upstream == "none":
            url = f"http://127.0.0.1:{port}"
        elif upstream == "mqtts":
            url = Tls.start(bench.children, bench.world, simulator.mqtt).url
        else:
            url = simulator.url(upstream)
        gateway = servers.gateway(bench.children, bench.world, url, relay={"max_polls": 2 * count})
        time.sleep(settle)
        before = processes.resident(gateway.pid)
        driver = bench.drivers.load(
            "devices",
            gateway.address,
            "api/v1/rpc",
            bench.world.fleet,
            count,
            STAY,
            "--work",
            "observe",
            dtls=VERSIONS["1.2"],
        )
        driver.await_sessions(count, 60 + count / 50)
        control = simulator.control()
        if upstream == "http":
            wait_for("polls of all devices", 60, lambda: open_polls(control, count) or None)
        elif upstream != "none":
            wait_for("subscriptions of all devices", 60, lambda: subscriptions(control, count) or None)
        time.sleep(settle)
        grown = (processes.resident(gateway.pid) - before) / count
        driver.interrupt()
        result = driver.result()
        gateway.check()
    bench.figures.record_errors(f"{count:,} observing devices, {upstream}", result["errors"], result["failures"])
    bench.figures.add({f"observing.{upstream}.device": grown})
    alone = bench.figures.current("observing.none.device")
    if upstream == "none" or alone is None:
        return f"{grown:.1f} KiB a device"
    bench.figures.add({f"observing.{upstream}.upstream": grown - alone})
    return f"{grown:.1f} KiB a device, {grown - alone:.1f} KiB of them upstream's side"


@contextmanager
def closed_port() -> Iterator[int]:
    """A TCP port at which connections are refused, and that no other program gets."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield reserved.getsockname()[1]


def open_polls(control: servers.Control, count: int) -> bool:
    last = control.get(f"/simulator/devices/{device_names(count)[-1]}/subscriptions")
    return bool(control.get("/simulator/connections")["open"] >= count and last["rpc"]["open"] > 0)


def subscriptions(control: servers.Control, count: int, earlier: int = 0) -> bool:
    """Whether so many devices are connected and subscribed, after so many earlier subscriptions."""
    counts = control.get("/simulator/mqtt/counts")
    return bool(counts["connections"] >= count and counts["subscribes"] >= earlier + count)

"""Telemetry through the gateway to ThingsBoard over HTTP and over MQTT.

The server is the simulator for both, so that only the protocol differs. It costs more than the sink, and shares the cores
with gateway and driver: the rate is that of all three, the processor time is the gateway's own. One after the other within a
round, in turns: a machine that slows down slows both.
"""

from __future__ import annotations

from functools import partial

from . import servers
from .options import Options
from .servers import Simulator
from .step import Bench, Step, answered
from .world import device_names

# How long posts are made before the measurement, in seconds.
FIRST = 0.5
SCHEMES = {"http": "HTTP", "mqtt": "MQTT"}


def steps(options: Options) -> list[Step]:
    return [
        Step(f"posts to ThingsBoard over {name}", options.seconds + 6, partial(posts, scheme))
        for scheme, name in SCHEMES.items()
    ]


def posts(scheme: str, bench: Bench) -> str:
    world = bench.world
    simulator = Simulator.start(bench.children, world, device_names(bench.sessions))
    gateway = servers.gateway(bench.children, world, simulator.url(scheme))
    # Opens the connections to ThingsBoard, of which MQTT has one for each device.
    bench.drivers.posts("first-posts", gateway.address, world.fleet, bench.sessions, FIRST).result()
    driver = bench.drivers.posts(
        "posts", gateway.address, world.fleet, bench.sessions, bench.seconds, watch=[gateway.pid, simulator.pid]
    )
    return answered(bench, f"upstream.{scheme}", driver.result(), {"gateway": gateway, "sink": simulator})

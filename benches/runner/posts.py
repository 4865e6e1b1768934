"""Telemetry: posts directly to the sink, and the same through the gateway.

In both, driver, sink and gateway share all cores of the machine, and none is pinned. So the ratio of the rates is the
whole cost of going through the gateway.
"""

from __future__ import annotations

from . import servers
from .options import Options
from .step import Bench, Step, answered


def steps(options: Options) -> list[Step]:
    return [
        Step("posts directly to the sink", options.seconds + 1, direct),
        Step("posts through the gateway", options.seconds + 6, through_the_gateway),
    ]


def direct(bench: Bench) -> str:
    sink = bench.sink()
    result = bench.drivers.direct(sink.url, bench.seconds, watch=[sink.pid]).result()
    return answered(bench, "direct", result, {"sink": sink})


def through_the_gateway(bench: Bench) -> str:
    sink = bench.sink()
    gateway = servers.gateway(bench.children, bench.world, sink.url)
    world = bench.world
    driver = bench.drivers.posts(
        "posts", gateway.address, world.fleet, bench.sessions, bench.seconds, watch=[gateway.pid, sink.pid]
    )
    return answered(bench, "gateway", driver.result(), {"gateway": gateway, "sink": sink})

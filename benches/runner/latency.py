"""Latency at half the gateway's maximum rate, as measured in the same round; that of the direct post at the same rate.

Half of the direct post's own maximum would be several times that rate, and would measure the sink. Latency counts from
the time at which a request was due, so that a stall can't be hidden by sending fewer requests (coordinated omission).

The direct post has a driver of its own, without DTLS. So there is a control: the load driver with the same sessions at
the same rate against libcoap's server, which shares no code with the gateway. Latency there is not due to the gateway.
"""

from __future__ import annotations

from . import gets, servers
from .children import Failure
from .options import Options
from .step import Bench, Step, answered


def steps(options: Options) -> list[Step]:
    return [
        Step("latency of the direct post", options.seconds + 1, direct),
        Step("latency through the gateway", options.seconds + 6, through_the_gateway),
        Step("latency of libcoap's GETs", options.seconds + 6, libcoaps_gets),
    ]


def half(bench: Bench) -> tuple[str, str]:
    maximum = bench.figures.current("gateway.rate")
    if not maximum:
        raise Failure("the gateway's maximum rate is 0 or was not measured in this round")
    return ("--rate", f"{maximum / 2:.1f}")


def direct(bench: Bench) -> str:
    sink = bench.sink()
    result = bench.drivers.direct(sink.url, bench.seconds, *half(bench), watch=[sink.pid]).result()
    return answered(bench, "half.direct", result, {"sink": sink}) + _p99(bench, "half.direct")


def through_the_gateway(bench: Bench) -> str:
    sink = bench.sink()
    gateway = servers.gateway(bench.children, bench.world, sink.url)
    driver = bench.drivers.posts(
        "posts",
        gateway.address,
        bench.world.fleet,
        bench.sessions,
        bench.seconds,
        *half(bench),
        watch=[gateway.pid, sink.pid],
    )
    summary = answered(bench, "half.gateway", driver.result(), {"gateway": gateway, "sink": sink})
    return summary + _p99(bench, "half.gateway")


def libcoaps_gets(bench: Bench) -> str:
    result, server = gets.driven(bench, "gnutls", *half(bench))
    return answered(bench, "half.gnutls", result, {"server": server}) + _p99(bench, "half.gnutls")


def _p99(bench: Bench, name: str) -> str:
    return f", p99 {bench.figures.current(name + '.p99') or 0:.2f} ms"

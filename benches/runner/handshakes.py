"""Full handshakes with certificates of both sides, with each server on a core of its own.

The driver has the other cores, and its side of a handshake costs about as much as the gateway's. So a fast server waits
for the driver, and the rate by wall-clock time says little about the server: handshakes a second of the *server's
processor time* are compared, which is the rate of a core that does nothing else. The report has both.
"""

from __future__ import annotations

import os
from functools import partial

from . import servers
from .options import Options
from .step import Bench, Step
from .world import HANDSHAKES

# Concurrent handshakes: enough to keep a server busy, and few enough for all of libcoap's limits.
AT_A_TIME = 16


def steps(options: Options) -> list[Step]:
    return [
        Step(f"handshakes of {name}", options.seconds + 2, partial(handshakes, name))
        for name in ("gateway", *servers.LIBCOAP)
    ]


def cores() -> tuple[int | None, list[str]]:
    """The server's core, and the command that pins the driver to the others; None and [] if there is only one core."""
    first, *others = sorted(os.sched_getaffinity(0))
    if not others:
        return None, []
    return first, ["taskset", "-c", ",".join(map(str, others))]


def handshakes(name: str, bench: Bench) -> str:
    cpu, before = cores()
    if name == "gateway":
        sink = bench.sink()
        server = servers.gateway(bench.children, bench.world, sink.url, servers.RAISED, cpu)
    else:
        server = servers.libcoap(bench.children, bench.world, name, cpu)
    sessions = min(AT_A_TIME, bench.world.options.devices)
    loop = ("--work", "handshakes", "--connecting", str(sessions))
    driver = bench.drivers.load(
        "handshakes",
        server.address,
        "",
        bench.world.fleet,
        sessions,
        bench.seconds,
        *loop,
        watch=[server.pid],
        before=before,
        dtls=bench.world.options.dtls or HANDSHAKES,
    )
    result = driver.result()
    made, (watched,) = result["handshakes"], result["watched"]
    server.check()
    bench.figures.record_errors(f"handshakes of {name}", result["errors"], result["failures"])
    used = watched["cpu_seconds"] or 0.0
    bench.figures.add(
        {
            f"handshakes.{name}.rate": made["per_second"],
            f"handshakes.{name}.per_core": made["count"] / used if used else 0.0,
            f"handshakes.{name}.cores": used / result["measured_seconds"],
            f"handshakes.{name}.driver_cores": result["driver"]["measured_cpu_seconds"] / result["measured_seconds"],
            f"handshakes.{name}.p50": (made.get("latency_ms") or {}).get("p50", 0.0),
        }
    )
    return f"{made['per_second']:,.0f}/s of wall-clock time"

"""Full handshakes with certificates of both sides, with each server on a core of its own; and resumed ones.

The driver has the other cores, and its side of a handshake costs about as much as the gateway's. So a fast server waits
for the driver, and the rate by wall-clock time says little about the server: handshakes a second of the *server's
processor time* are compared, which is the rate of a core that does nothing else. The report has both.

A resumed handshake is one by session id, of the session that the last one has made; its first, full handshake is not
measured.
"""

from __future__ import annotations

import os
from functools import partial

from . import servers
from .options import Options
from .step import Bench, Step
from .world import GCM, HANDSHAKES

# Concurrent handshakes: enough to keep a server busy, and few enough for all of libcoap's limits.
AT_A_TIME = 16
# The gateway where it resumes sessions, and the one of --baseline.
RESUMED, BASELINE = "resumed", "baseline"


def steps(options: Options) -> list[Step]:
    names = ["gateway", RESUMED, *([BASELINE] if options.baseline else []), *servers.LIBCOAP]
    return [Step(f"handshakes of {name}", options.seconds + 2, partial(handshakes, name)) for name in names]


def cores() -> tuple[int | None, list[str]]:
    """The server's core, and the command that pins the driver to the others; None and [] if there is only one core."""
    first, *others = sorted(os.sched_getaffinity(0))
    if not others:
        return None, []
    return first, ["taskset", "-c", ",".join(map(str, others))]


def handshakes(name: str, bench: Bench) -> str:
    cpu, before = cores()
    options = bench.world.options
    if name in servers.LIBCOAP:
        server = servers.libcoap(bench.children, bench.world, name, cpu)
    else:
        program = options.baseline if name == BASELINE else None
        server = servers.gateway(bench.children, bench.world, bench.sink().url, servers.RAISED, cpu, program=program)
    sessions = min(AT_A_TIME, options.devices)
    library = HANDSHAKES if name == RESUMED else options.dtls or HANDSHAKES
    loop = ["--work", "handshakes", "--connecting", str(sessions)]
    loop += GCM if library == "own" else ()
    loop += ["--resume"] if name == RESUMED else []
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
        dtls=library,
    )
    result = driver.result()
    made, (watched,) = result["handshakes"], result["watched"]
    server.check()
    bench.figures.record_errors(f"handshakes of {name}", result["errors"], result["failures"])
    if name == RESUMED and result["resumed"] != made["count"]:
        bench.figures.record_errors(name, {"resumed of all handshakes": f"{result['resumed']} of {made['count']}"})
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

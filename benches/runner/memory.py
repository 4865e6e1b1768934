"""Resident memory of the gateway with idle sessions.

Each number of sessions is measured in a gateway of its own, with the whole registry, and compared with that gateway
before the first session: the difference is the cost of the sessions, and of what their handshakes left in the
allocator. DTLS 1.3 has other state than 1.2, so both are measured.
"""

from __future__ import annotations

import time
from functools import partial

from . import processes, servers
from .options import Options
from .step import Bench, Step
from .world import VERSIONS

# How long the sessions stay at most, in seconds; they are closed when memory has been read.
STAY = 120.0


def steps(options: Options) -> list[Step]:
    return [
        Step(f"memory with {idle:,} idle sessions of DTLS {version}", 12 + idle / 500, partial(resident, version, idle))
        for idle in options.idle
        if idle
        for version in VERSIONS
    ]


def resident(version: str, idle: int, bench: Bench) -> str:
    # The time until the gateway has finished its work after its start, or after handshakes.
    settle = min(2.0, bench.seconds)
    sink = bench.sink()
    gateway = servers.gateway(bench.children, bench.world, sink.url)
    time.sleep(settle)
    before = processes.resident(gateway.pid), processes.proportional(gateway.pid)
    driver = bench.drivers.load(
        "idle",
        gateway.address,
        "",
        bench.world.fleet,
        idle,
        STAY,
        "--work",
        "idle",
        dtls=VERSIONS[version],
    )
    driver.await_measuring(60 + idle / 50)
    time.sleep(settle)
    after = processes.resident(gateway.pid), processes.proportional(gateway.pid)
    # Each session pings at its end, which shows how many are still established.
    driver.interrupt()
    result = driver.result()
    gateway.check()
    sessions = result["sessions"]
    alive = sessions["alive"]
    name = f"{idle:,} idle sessions of DTLS {version}"
    bench.figures.record_errors(name, result["errors"], result["failures"])
    if alive != idle:
        bench.figures.record_errors(name, {"answered a ping at the end": alive})
    a_session = [(late - early) / idle for early, late in zip(before, after)]
    bench.figures.add(
        {
            f"memory.{version}.0.rss": before[0],
            f"memory.{version}.0.pss": before[1],
            f"memory.{version}.{idle}.rss": after[0],
            f"memory.{version}.{idle}.pss": after[1],
            f"memory.{version}.{idle}.session.rss": a_session[0],
            f"memory.{version}.{idle}.session.pss": a_session[1],
        }
    )
    return f"{after[0] / 1024:,.1f} MiB, {a_session[0]:.1f} KiB a session"

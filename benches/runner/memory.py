"""Resident memory of the gateway with sessions that do nothing.

Each number of sessions has a gateway of its own, with the whole registry, and is compared with that gateway before
the first session: the rest is what sessions cost, with whatever their handshakes have left behind in the allocator.
DTLS 1.3 keeps other things than 1.2, so both are told.
"""

from __future__ import annotations

import time
from functools import partial

from . import processes, servers
from .options import Options
from .step import Bench, Step
from .world import VERSIONS

# Sessions stay for so long at the most; they are closed when memory has been looked at.
STAY = 120.0


def steps(options: Options) -> list[Step]:
    return [
        Step(f"memory with {idle:,} idle sessions of DTLS {version}", 12 + idle / 500, partial(resident, version, idle))
        for idle in options.idle
        if idle
        for version in VERSIONS
    ]


def resident(version: str, idle: int, bench: Bench) -> str:
    # What a gateway does after its start, or after handshakes, it has done by then.
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
    # Each session pings at its end, which tells those that are still there.
    driver.interrupt()
    result = driver.result()
    gateway.check()
    sessions = result["sessions"]
    alive = sessions["alive"]
    bench.figures.complain(f"{idle:,} idle sessions of DTLS {version}", result["errors"], result["failures"])
    if alive != idle:
        bench.figures.complain(f"{idle:,} idle sessions of DTLS {version}", {"answered a ping at the end": alive})
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

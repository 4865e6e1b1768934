"""Resident memory of the gateway with idle sessions, each of which has made one post.

Each number of sessions is measured in a gateway of its own, with the whole registry, and compared with that gateway
before the first session: the difference is the cost of the sessions, and of what their handshakes left in the
allocator. The slope between the two largest numbers is the cost of a further session, without what is there once. DTLS
1.3 has other state than 1.2, so both are measured; 1.3 with fewer sessions, because its sessions cost the driver as much.
"""

from __future__ import annotations

import time
from functools import partial

from . import processes, servers
from .options import Options
from .step import Bench, Step
from .world import VERSIONS

# How long the sessions stay at most, in seconds, besides the time in which the others connect; they are closed when memory
# has been read.
STAY = 120.0
# The most sessions of DTLS 1.3.
MOST_1_3 = 10_000
# Beyond this number, `limits.sessions` is raised to it.
DEFAULT_SESSIONS = 100_000


def steps(options: Options) -> list[Step]:
    return [
        Step(f"memory with {idle:,} idle sessions of DTLS {version}", 12 + idle / 500, partial(resident, version, idle))
        for idle in options.idle
        if idle
        for version in VERSIONS
        if version == "1.2" or idle <= MOST_1_3
    ]


def resident(version: str, idle: int, bench: Bench) -> str:
    # The time until the gateway has finished its work after its start, or after handshakes.
    settle = min(2.0, bench.seconds)
    sink = bench.sink()
    limits = {"sessions": idle} if idle > DEFAULT_SESSIONS else {}
    gateway = servers.gateway(bench.children, bench.world, sink.url, limits)
    time.sleep(settle)
    before = processes.resident(gateway.pid), processes.proportional(gateway.pid)
    drivers = []
    for number, fleet in enumerate(bench.world.fleets):
        # Those of the drivers before have so many sessions each as there are certificates in their directories.
        left = idle - sum(wanted for _, wanted in drivers)
        wanted = min(left, bench.world.sizes[number])
        if not wanted:
            break
        driver = bench.drivers.posts(
            f"idle-{number}",
            gateway.address,
            fleet,
            wanted,
            STAY + idle / 50,
            "--work",
            "idle",
            "--first-request",
            dtls=VERSIONS[version],
        )
        driver.await_measuring(60 + wanted / 50)
        drivers.append((driver, wanted))
    time.sleep(settle)
    after = processes.resident(gateway.pid), processes.proportional(gateway.pid)
    name = f"{idle:,} idle sessions of DTLS {version}"
    # Each session pings at its end, which shows how many are still established. One driver after the other: pings of all at
    # once would be lost in full buffers.
    alive = 0
    for driver, _ in drivers:
        driver.interrupt()
        result = driver.result()
        alive += result["sessions"]["alive"]
        bench.figures.record_errors(name, result["errors"], result["failures"])
    gateway.check()
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
    summary = f"{after[0] / 1024:,.1f} MiB, {a_session[0]:.2f} KiB a session"
    smaller = [number for number in bench.world.options.idle if 0 < number < idle]
    fewer = bench.figures.current(f"memory.{version}.{max(smaller)}.rss") if smaller else None
    if fewer is None:
        return summary
    slope = (after[0] - fewer) / (idle - max(smaller))
    bench.figures.add({f"memory.{version}.slope": slope})
    return f"{summary}, {slope:.2f} KiB for one more"

"""All devices connect at once to a new gateway with its default limits, as after a restart.

They connect from 40 addresses, because a limit counts by address and a fleet has many. Meanwhile some devices that are
connected already post telemetry; they must not see errors.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial

from . import servers
from .children import Failure, wait_for
from .figures import NEVER
from .options import Options
from .step import Bench, Step
from .world import ESTABLISHED, VERSIONS

# How long the devices may try to connect, in seconds: the target is 30.
CONNECT_TIMEOUT = 60.0
# Posts a second of the established devices together.
RATE = 10.0 * ESTABLISHED


def steps(options: Options) -> list[Step]:
    return [
        Step(
            f"{options.storm:,} devices at once with DTLS {version}", 20 + options.storm / 500, partial(storm, version)
        )
        for version in VERSIONS
    ]


def storm(version: str, bench: Bench) -> str:
    wanted = bench.world.options.storm
    sink = bench.sink()
    gateway = servers.gateway(bench.children, bench.world, sink.url)
    established = bench.drivers.posts(
        "established", gateway.address, bench.world.established, ESTABLISHED, 4 * CONNECT_TIMEOUT, "--rate", f"{RATE}"
    )
    wait_for("posts of the established devices", 30, lambda: sink.posts()[1] > 0 or None)
    # They all connect at once, and stay connected. A device that fails tries again a second later.
    devices = bench.drivers.load(
        "storm",
        gateway.address,
        "",
        bench.world.fleet,
        wanted,
        CONNECT_TIMEOUT,
        "--work",
        "idle",
        "--connecting",
        str(min(wanted, 65_535)),
        dtls=VERSIONS[version],
    )
    # If some do not connect, the driver ends by itself, and its report says how many have.
    with suppress(Failure):
        devices.await_sessions(wanted, 2 * CONNECT_TIMEOUT)
    devices.interrupt()
    storm_result = devices.result()
    established.interrupt()
    established_result = established.result()
    gateway.check()
    # Only sessions whose ping is answered at the end count as connected.
    missing = wanted - storm_result["sessions"]["alive"]
    connected = storm_result.get("complete_seconds") if missing == 0 else None
    latency = established_result["requests"].get("latency_ms") or {}
    name = f"storm.{version}"
    bench.figures.add(
        {
            f"{name}.seconds": NEVER if connected is None else connected,
            f"{name}.missing": float(missing),
            f"{name}.failures": float(sum(storm_result["errors"].values())),
            f"{name}.established.errors": float(sum(established_result["errors"].values())),
            f"{name}.established.rate": established_result["requests"]["per_second"],
            **{f"{name}.established.{quantile}": value for quantile, value in latency.items()},
        }
    )
    bench.figures.record_errors(f"storm with DTLS {version}", storm_result["errors"], storm_result["failures"])
    bench.figures.record_errors(f"storm with DTLS {version}, the established devices", established_result["errors"])
    return "not all connected" if connected is None else f"all connected after {connected:.1f} s"

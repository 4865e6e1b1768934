"""All devices at once, after a restart: a fresh gateway with its default limits, and everybody comes.

They come from 40 addresses, because a limit counts by address and a fleet has many. Meanwhile some devices, which
were quick, are back already and post; they must not notice.
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

# The bar is at 30 s; who is not back after this has been refused for good.
PATIENCE = 60.0
# What the established ones post, all together, a second.
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
        "established", gateway.address, bench.world.established, ESTABLISHED, 4 * PATIENCE, "--rate", f"{RATE}"
    )
    wait_for("posts of the established devices", 30, lambda: sink.posts()[1] > 0 or None)
    # They all come at once, and stay: a device that failed tries again a second later.
    devices = bench.drivers.load(
        "storm",
        gateway.address,
        "",
        bench.world.fleet,
        wanted,
        PATIENCE,
        "--work",
        "idle",
        "--connecting",
        str(min(wanted, 65_535)),
        dtls=VERSIONS[version],
    )
    # Where they do not all come, it ends by itself, and its report says how many are there.
    with suppress(Failure):
        devices.await_sessions(wanted, 2 * PATIENCE)
    devices.interrupt()
    came = devices.result()
    established.interrupt()
    worked = established.result()
    gateway.check()
    # Back is who does answer afterwards.
    missing = wanted - came["sessions"]["alive"]
    back = came.get("complete_seconds") if missing == 0 else None
    latency = worked["requests"].get("latency_ms") or {}
    name = f"storm.{version}"
    bench.figures.add(
        {
            f"{name}.seconds": NEVER if back is None else back,
            f"{name}.missing": float(missing),
            f"{name}.failures": float(sum(came["errors"].values())),
            f"{name}.established.errors": float(sum(worked["errors"].values())),
            f"{name}.established.rate": worked["requests"]["per_second"],
            **{f"{name}.established.{quantile}": value for quantile, value in latency.items()},
        }
    )
    bench.figures.complain(f"storm with DTLS {version}", came["errors"], came["failures"])
    bench.figures.complain(f"storm with DTLS {version}, the established devices", worked["errors"])
    return "not all back" if back is None else f"all back after {back:.1f} s"

"""Sessions that are stored: the gateway is killed, or stopped, and started again under devices that stay; and what storing
costs in processor time.

The state directory is on a disk, not in memory as the other files are.

The idle sessions have made one post each. While there is no gateway they send nothing. At the end each pings: a session that
answers has gone on without a handshake, since the driver makes one only for a session that is closed. The observing devices have
MQTT behind the gateway, and each gets a command while there is no gateway.
"""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from . import processes, servers
from .children import Failure, wait_for
from .drivers import Driver
from .figures import NEVER
from .memory import DEFAULT_SESSIONS, STAY
from .observers import subscriptions
from .options import Options
from .servers import Server, Simulator, Sink
from .step import Bench, Step
from .world import VERSIONS, Stored, device_names

# `state.window` is 5 s, and what is due is written within a second: then all is on disk.
WRITTEN = 7.0
# A command that came twice would come within this time, in seconds.
TWICE = 2.0
# How long an orderly stop may take, in seconds.
STOP = 40.0
# The loads with and without a store: sessions, and posts a second of all of them; `None`: a closed loop.
LOADS = {"loop": "closed loop", "second": "each device once a second"}
PACED = 2000


def steps(options: Options) -> list[Step]:
    return [
        *(
            Step(f"a kill, a stop and starts with {count:,} stored sessions", 40 + count / 300, partial(idle, count))
            for count in options.stored
        ),
        Step(f"a kill and a start with {options.storm:,} observing devices", 60 + options.storm / 100, observing),
        *(
            Step(f"posts with and without a store, {how}", 15 + 2 * options.seconds, partial(posts, load))
            for load, how in LOADS.items()
        ),
    ]


def idle(count: int, bench: Bench) -> str:
    settle = min(2.0, bench.seconds)
    sink = bench.sink()
    limits = {"sessions": count} if count > DEFAULT_SESSIONS else {}
    name = f"stored.{count}"
    with place() as stored:
        first, start = started(bench, "gateway", sink.url, limits, stored)
        time.sleep(settle)
        empty = processes.resident(first.pid)
        drivers = idle_sessions(bench, first, count)
        time.sleep(max(settle, WRITTEN))
        before = processes.resident(first.pid)
        kill(first)
        at_kill = at_rest(stored)
        stored = stored.at(first.address)
        second, ready = started(bench, "after-kill", sink.url, limits, stored)
        time.sleep(max(settle, WRITTEN))
        after = processes.resident(second.pid)
        stopping = time.monotonic()
        second.child.process.send_signal(signal.SIGTERM)
        second.child.await_end(STOP)
        stopped = time.monotonic() - stopping
        at_stop = at_rest(stored)
        third, ready_again = started(bench, "after-stop", sink.url, limits, stored)
        alive, handshakes, retransmissions = 0, 0, 0
        # One after the other, as in `memory`.
        for driver in drivers:
            driver.interrupt()
            result = driver.result()
            alive += result["sessions"]["alive"]
            handshakes += result["handshakes"]["count"]
            retransmissions += result["retransmissions"]
            bench.figures.record_errors(name, result["errors"], result["failures"])
        third.check()
    bench.figures.add(
        {
            f"{name}.ready": ready.seconds,
            f"{name}.ready.cpu": ready.cpu,
            f"{name}.ready_after_stop": ready_again.seconds,
            f"{name}.ready_after_stop.cpu": ready_again.cpu,
            f"{name}.start": start.seconds,
            f"{name}.start.cpu": start.cpu,
            f"{name}.stop": stopped,
            f"{name}.unserved": float(count - alive),
            f"{name}.handshakes": float(handshakes - count),
            f"{name}.retransmissions": float(retransmissions),
            f"{name}.disk_at_kill": at_kill / count,
            f"{name}.disk": at_stop / count,
            f"{name}.rss": after,
            f"{name}.session.rss": (after - empty) / count,
            f"{name}.session.rss_before": (before - empty) / count,
        }
    )
    smaller = [number for number in bench.world.options.stored if number < count]
    fewer = bench.figures.current(f"stored.{max(smaller)}.rss") if smaller else None
    if fewer is not None:
        bench.figures.add({"stored.slope": (after - fewer) / (count - max(smaller))})
    return f"ready after {ready.seconds:.2f} s and {ready_again.seconds:.2f} s, {alive:,} served, {at_stop / count:.0f} bytes on disk each"


def idle_sessions(bench: Bench, gateway: Server, count: int) -> list[Driver]:
    """Drivers with so many sessions together, each of which has made a post."""
    drivers: list[Driver] = []
    left = count
    for number, fleet in enumerate(bench.world.fleets):
        wanted = min(left, bench.world.sizes[number])
        if not wanted:
            break
        driver = bench.drivers.posts(
            f"idle-{number}",
            gateway.address,
            fleet,
            wanted,
            STAY + count / 50,
            "--work",
            "idle",
            "--first-request",
            dtls=VERSIONS["1.2"],
        )
        driver.await_measuring(60 + wanted / 50)
        drivers.append(driver)
        left -= wanted
    return drivers


def observing(bench: Bench) -> str:
    count = bench.world.options.storm
    names = device_names(count)
    simulator = Simulator.start(bench.children, bench.world, names)
    url, relay = simulator.url("mqtt"), {"max_polls": 2 * count}
    with place() as stored:
        first = servers.gateway(bench.children, bench.world, url, relay=relay, stored=stored)
        driver = bench.drivers.load(
            "devices", first.address, "api/v1/rpc", bench.world.fleet, count, 4 * STAY, "--work", "observe", dtls=VERSIONS["1.2"]
        )
        driver.await_sessions(count, 60 + count / 50)
        control = simulator.control()
        wait_for("subscriptions of all devices", 60, lambda: subscriptions(control, count) or None)
        time.sleep(WRITTEN)
        kill(first)
        disk = at_rest(stored)
        earlier = control.get("/simulator/mqtt/counts")["subscribes"]
        for number, name in enumerate(names):
            command = {"method": "wake", "params": number, "oneway": True, "persistent": True, "timeoutMs": 600_000}
            control.post(f"/simulator/devices/{name}/rpc", command)
        second, ready = started(bench, "after-kill", url, {}, stored.at(first.address), relay)
        began, subscribed = time.monotonic(), NEVER
        try:
            wait_for("subscriptions of all devices", 90, lambda: subscriptions(control, count, earlier) or None)
            subscribed = time.monotonic() - began
            wait_for("PUBACKs of all commands", 30, lambda: acknowledged(control, count) or None)
        except Failure as failure:
            bench.figures.record_errors("stored observing devices", {str(failure): 1})
        time.sleep(TWICE)
        driver.interrupt()
        result = driver.result()
        second.check()
    bench.figures.record_errors("stored observing devices", result["errors"], result["failures"])
    notified = {int(times): devices for times, devices in result.get("notified", {}).items()}
    lost = count - sum(devices for times, devices in notified.items() if times > 0)
    repeated = sum((times - 1) * devices for times, devices in notified.items() if times > 1)
    bench.figures.add(
        {
            "stored.observing.ready": ready.seconds,
            "stored.observing.ready.cpu": ready.cpu,
            "stored.observing.subscribed": subscribed,
            "stored.observing.disk_at_kill": disk / count,
            "stored.observing.handshakes": float(result["handshakes"]["count"] - count),
            "stored.observing.lost": float(lost),
            "stored.observing.repeated": float(repeated),
        }
    )
    return f"ready after {ready.seconds:.2f} s, commands lost {lost}, twice {repeated}, {disk / count:.0f} bytes on disk each"


def acknowledged(control: servers.Control, count: int) -> bool:
    return int(control.get("/simulator/mqtt/counts")["commandPubacks"]) >= count


def posts(load: str, bench: Bench) -> str:
    """Processor time of the gateway for a post: of two gateways at the same time, one of which stores sessions."""
    sessions = bench.sessions if load == "loop" else min(PACED, bench.world.sizes[0])
    rate = () if load == "loop" else ("--rate", str(sessions))
    sinks, gateways, drivers = {}, {}, {}
    with place() as stored:
        for which, where in (("none", None), ("file", stored)):
            sink = sinks[which] = Sink.start(bench.children, bench.world, f"sink-{which}")
            gateway = servers.gateway(bench.children, bench.world, sink.url, stored=where, name=f"gateway-{which}")
            gateways[which] = gateway
        for which, gateway in gateways.items():
            stay = 2 * STAY + bench.seconds
            drivers[which] = bench.drivers.posts(
                f"posts-{which}", gateway.address, bench.world.fleet, sessions, stay, *rate, dtls="own"
            )
        for driver in drivers.values():
            driver.await_measuring(60)
        # Until then the rows of the new sessions are written.
        time.sleep(max(WRITTEN, bench.seconds))
        before = {which: spent(gateways[which], sinks[which]) for which in gateways}
        time.sleep(bench.seconds)
        after = {which: spent(gateways[which], sinks[which]) for which in gateways}
        for which, driver in drivers.items():
            driver.interrupt()
            result = driver.result()
            gateways[which].check()
            bench.figures.record_errors(f"stored.{load}.{which}", result["errors"])
    figures = {}
    for which, (cpu, count) in after.items():
        cpu_before, count_before = before[which]
        figures[which] = (cpu - cpu_before) / max(1, count - count_before) * 1e6
    bench.figures.add({f"stored.{load}.{which}.cpu": value for which, value in figures.items()})
    return f"{figures['none']:.1f} µs without, {figures['file']:.1f} µs with"


def spent(gateway: Server, sink: Sink) -> tuple[float, int]:
    """The gateway's processor time so far, and the posts that have arrived."""
    return processes.cpu(gateway.pid), sink.posts()[1]


@contextmanager
def place() -> Iterator[Stored]:
    """A state directory on a disk, which is removed afterwards."""
    on_disk = Path("/var/tmp")
    parent = on_disk if on_disk.is_dir() and not os.environ.get("TMPDIR") else None
    with tempfile.TemporaryDirectory(prefix="coaps-gateway-state-", dir=parent) as directory:
        yield Stored(Path(directory))


def kill(gateway: Server) -> None:
    gateway.check()
    gateway.child.stop()


@dataclass(frozen=True)
class Start:
    """The seconds until a gateway was ready, and its processor time until then."""

    seconds: float
    cpu: float


def started(
    bench: Bench, name: str, upstream: str, limits: dict[str, int], stored: Stored, relay: dict[str, int] | None = None
) -> tuple[Server, Start]:
    """A gateway, perhaps in the place of one that has ended."""
    began = time.monotonic()
    gateway = servers.gateway(bench.children, bench.world, upstream, limits, relay=relay, stored=stored, name=name)
    return gateway, Start(time.monotonic() - began, processes.cpu(gateway.pid))


def at_rest(stored: Stored) -> int:
    """The bytes of the database, of which no process has it open, with its log written into it."""
    with tempfile.TemporaryDirectory(prefix="coaps-gateway-copy-") as directory:
        copy = Path(directory) / "copy"
        shutil.copytree(stored.directory, copy)
        database = next(copy.glob("*.sqlite3"))
        connection = sqlite3.connect(database)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        return database.stat().st_size

"""Forged ClientHellos while devices post: their rate, the gateway's memory, and the time to connect a new device.

The gateway has its default limits. The rate is that at which telemetry arrives at the sink. It is measured twice: in a
closed loop, where the devices use all the processor time there is, so that they also lose what the flood's sender takes
of the same cores; and at half the rate that the closed loop reached. The targets for memory and the new device are
compared with the closed loop.
"""

from __future__ import annotations

import threading
import time
from functools import partial

from . import processes, servers
from .children import wait_for
from .figures import NEVER
from .options import Options
from .servers import Server
from .step import Bench, Step
from .world import ESTABLISHED

# How long the new device may try to connect, in seconds: the target is 30.
NEW_DEVICE_TIMEOUT = 35.0


def steps(options: Options) -> list[Step]:
    return [
        Step(f"flood, {ESTABLISHED} devices {how}", 2 * options.seconds + 6, partial(flood, name))
        for name, how in (("loop", "in a closed loop"), ("paced", "at half their rate"))
    ]


class Growth:
    """The growth of a process's memory since this was created, sampled every 50 ms."""

    def __init__(self, server: Server) -> None:
        self._pid = server.pid
        self.before = self.most = processes.resident(server.pid)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def _sample(self) -> None:
        while not self._ended.wait(0.05):
            try:
                self.most = max(self.most, processes.resident(self._pid))
            except (OSError, ValueError):
                return

    def end(self) -> float:
        """Stops sampling, and returns the growth in KiB."""
        self._ended.set()
        self._thread.join()
        return self.most - self.before


def flood(name: str, bench: Bench) -> str:
    seconds, rate = bench.seconds, bench.world.options.flood
    # The time until the gateway has adapted to the flood.
    ramp = min(1.0, seconds)
    sink = bench.sink()
    gateway = servers.gateway(bench.children, bench.world, sink.url)
    pace: tuple[str, ...] = ()
    if name == "paced":
        pace = ("--rate", f"{(bench.figures.current('flood.loop.before') or 200) / 2:.1f}")
    # A duration longer than the step takes: the driver is interrupted at the end of the step.
    duration = 3 * seconds + 4 * NEW_DEVICE_TIMEOUT
    devices = bench.drivers.posts(
        "established", gateway.address, bench.world.established, ESTABLISHED, duration, *pace
    )
    wait_for("posts of the established devices", 30, lambda: sink.posts()[1] > 0 or None)
    time.sleep(ramp)
    before = sink.rate(seconds)
    growth = Growth(gateway)
    forger = bench.drivers.flood("flood", gateway.address, rate, seconds + 2 * ramp)
    time.sleep(ramp)
    during = sink.rate(seconds)
    sent = forger.result()
    # A second flood, as long as the new device may take to connect.
    forger = bench.drivers.flood("second-flood", gateway.address, rate, ramp + NEW_DEVICE_TIMEOUT)
    time.sleep(ramp)
    driver = bench.drivers.load("new-device", gateway.address, "", bench.world.new_device, 1, 0.1, "--work", "idle")
    driver.child.await_end(2 * NEW_DEVICE_TIMEOUT)
    during_the_flood = forger.child.process.poll() is None
    grown = growth.end()
    new_device = driver.result()
    forger.child.stop()
    devices.interrupt()
    established = devices.result()
    gateway.check()
    bench.figures.record_errors(f"flood, devices {name}", established["errors"])
    bench.figures.record_errors(f"flood, new device, {name}", new_device["errors"], new_device["failures"])
    # A device that connects after the end of the flood does not count.
    connected = new_device.get("complete_seconds") if during_the_flood else None
    bench.figures.add(
        {
            f"flood.{name}.before": before,
            f"flood.{name}.during": during,
            f"flood.{name}.sent": sent["per_second"],
            f"flood.{name}.growth": grown,
            f"flood.{name}.new_device": NEVER if connected is None else connected,
        }
    )
    return f"{before:,.0f}/s before, {during:,.0f}/s during {sent['per_second']:,.0f} forged hellos a second"

"""Forged ClientHellos, while devices work: what becomes of their rate, of memory, and of one who comes new.

The gateway has its default limits. The rate is counted where telemetry arrives, at the sink. It is taken twice: in a
closed loop, where devices take all the processor time there is, so that it also pays for the flood's sender, which
shares the machine's cores; and at half the rate that the closed loop reached, as devices post that have something to
say. The bar is held against the closed loop.
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

# How long a newcomer may try: the bar, and a little.
NEWCOMER = 35.0


def steps(options: Options) -> list[Step]:
    return [
        Step(f"flood, {ESTABLISHED} devices {how}", 2 * options.seconds + 6, partial(flood, name))
        for name, how in (("loop", "in a closed loop"), ("paced", "at half their rate"))
    ]


class Growth:
    """The most memory a process has had since this was made, looked at every 50 ms."""

    def __init__(self, server: Server) -> None:
        self._pid = server.pid
        self.before = self.most = processes.resident(server.pid)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._over.wait(0.05):
            try:
                self.most = max(self.most, processes.resident(self._pid))
            except (OSError, ValueError):
                return

    def end(self) -> float:
        """KiB."""
        self._over.set()
        self._thread.join()
        return self.most - self.before


def flood(name: str, bench: Bench) -> str:
    seconds, rate = bench.seconds, bench.world.options.flood
    # For the gateway to have met the flood with all it has.
    ramp = min(1.0, seconds)
    sink = bench.sink()
    gateway = servers.gateway(bench.children, bench.world, sink.url)
    pace: tuple[str, ...] = ()
    if name == "paced":
        pace = ("--rate", f"{(bench.figures.now('flood.loop.before') or 200) / 2:.1f}")
    # Longer than all of it takes: it is ended when that is over.
    devices = bench.drivers.posts(
        "established", gateway.address, bench.world.established, ESTABLISHED, 3 * seconds + 4 * NEWCOMER, *pace
    )
    wait_for("posts of the established devices", 30, lambda: sink.posts()[1] > 0 or None)
    time.sleep(ramp)
    before = sink.rate(seconds)
    growth = Growth(gateway)
    forger = bench.drivers.flood("flood", gateway.address, rate, seconds + 2 * ramp)
    time.sleep(ramp)
    during = sink.rate(seconds)
    sent = forger.result()
    # The flood goes on for as long as the newcomer may take.
    forger = bench.drivers.flood("flood-goes-on", gateway.address, rate, ramp + NEWCOMER)
    time.sleep(ramp)
    newcomer = bench.drivers.load("newcomer", gateway.address, "", bench.world.newcomer, 1, 0.1, "--work", "idle")
    newcomer.child.await_end(2 * NEWCOMER)
    beside = forger.child.process.poll() is None
    grown = growth.end()
    came = newcomer.result()
    forger.child.stop()
    devices.interrupt()
    worked = devices.result()
    gateway.check()
    bench.figures.complain(f"flood, devices {name}", worked["errors"])
    bench.figures.complain(f"flood, the newcomer beside {name}", came["errors"], came["failures"])
    # Who comes in when the flood is over has not come in beside it.
    entered = came.get("complete_seconds") if beside else None
    bench.figures.add(
        {
            f"flood.{name}.before": before,
            f"flood.{name}.during": during,
            f"flood.{name}.sent": sent["per_second"],
            f"flood.{name}.growth": grown,
            f"flood.{name}.newcomer": NEVER if entered is None else entered,
        }
    )
    return f"{before:,.0f}/s before, {during:,.0f}/s beside {sent['per_second']:,.0f} forged a second"

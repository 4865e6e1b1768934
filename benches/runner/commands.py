"""Commands over MQTT: how long until the device has acknowledged them.

The simulator measures it, from the PUBLISH of a command to its PUBACK, which the gateway sends when the device has
acknowledged the notification. The devices observe their commands, and do nothing else.
"""

from __future__ import annotations

import time

from . import servers
from .children import wait_for
from .observers import STAY, subscriptions
from .options import Options
from .servers import Simulator
from .step import Bench, Step
from .world import VERSIONS, device_names

# Commands a second, of all devices together.
RATE = 200.0


def steps(options: Options) -> list[Step]:
    return [Step(f"commands for {options.commanded:,} observing devices", 10 + options.commanded / 100, commands)]


def commands(bench: Bench) -> str:
    count = bench.world.options.commanded
    names = device_names(count)
    simulator = Simulator.start(bench.children, bench.world, names)
    gateway = servers.gateway(bench.children, bench.world, simulator.url("mqtt"), relay={"max_polls": 2 * count})
    driver = bench.drivers.load(
        "devices", gateway.address, "api/v1/rpc", bench.world.fleet, count, STAY, "--work", "observe", dtls=VERSIONS["1.2"]
    )
    driver.await_sessions(count, 60 + count / 50)
    control = simulator.control()
    wait_for("subscriptions of all devices", 60, lambda: subscriptions(control, count) or None)
    # A subscription works some time after it is granted.
    time.sleep(0.5)
    began = time.monotonic()
    for number, name in enumerate(names):
        time.sleep(max(0.0, began + number / RATE - time.monotonic()))
        control.post(f"/simulator/devices/{name}/rpc", {"method": "wake", "params": number, "oneway": True})
    wait_for("PUBACKs of all commands", 30, lambda: acknowledged(control) >= count or None)
    delays = sorted(us / 1000 for us in control.call("DELETE", "/simulator/mqtt/command-delays"))
    driver.interrupt()
    result = driver.result()
    gateway.check()
    bench.figures.record_errors("commands", result["errors"], result["failures"])
    notified = result.get("notified", {})
    if notified != {"1": count}:
        bench.figures.record_errors("commands", {"notifications by device": notified})
    figures = {name: delays[min(int(len(delays) * part), len(delays) - 1)] for name, part in (("p50", 0.5), ("p99", 0.99))}
    bench.figures.add({f"commands.{name}": value for name, value in (*figures.items(), ("max", delays[-1]))})
    return f"p50 {figures['p50']:.2f} ms, p99 {figures['p99']:.2f} ms"


def acknowledged(control: servers.Control) -> int:
    return int(control.get("/simulator/mqtt/counts")["commandPubacks"])

"""ThingsBoard restarts while devices observe their commands over MQTT: until all are subscribed again, and what became of
commands.

One persistent command for each device is sent while they come back. ThingsBoard keeps those of devices that are not
subscribed yet. Each device must get its command once.
"""

from __future__ import annotations

import time
from functools import partial

from . import servers
from .children import Failure, wait_for
from .commands import acknowledged
from .figures import NEVER
from .observers import STAY, subscriptions
from .options import Options
from .servers import Simulator
from .step import Bench, Step
from .world import VERSIONS, device_names

# How long ThingsBoard is down, and how long the devices may take afterwards, in seconds: the target is 30.
DOWN = 2.0
WITHIN = 90.0


def steps(options: Options) -> list[Step]:
    count = options.storm
    return [Step(f"a restart of ThingsBoard, {count:,} observing devices", 40 + count / 200, partial(restart, count))]


def restart(count: int, bench: Bench) -> str:
    names = device_names(count)
    simulator = Simulator.start(bench.children, bench.world, names)
    gateway = servers.gateway(bench.children, bench.world, simulator.url("mqtt"), relay={"max_polls": 2 * count})
    driver = bench.drivers.load(
        "devices", gateway.address, "api/v1/rpc", bench.world.fleet, count, STAY, "--work", "observe", dtls=VERSIONS["1.2"]
    )
    driver.await_sessions(count, 60 + count / 50)
    control = simulator.control()
    wait_for("subscriptions of all devices", 60, lambda: subscriptions(control, count) or None)
    time.sleep(0.5)
    before = control.get("/simulator/mqtt/counts")["subscribes"]
    control.post("/simulator/restart", {"downMs": int(DOWN * 1000)})
    up = time.monotonic() + DOWN
    time.sleep(DOWN)
    control = wait_for("ThingsBoard's restart", 10, lambda: answers(simulator))
    subscribed: float | None = None

    def look() -> bool:
        nonlocal subscribed
        if subscribed is None and subscriptions(control, count, before):
            subscribed = time.monotonic() - up
        return subscribed is not None

    queued = 0
    for number, name in enumerate(names):
        sent = control.post(
            f"/simulator/devices/{name}/rpc",
            {"method": "wake", "params": number, "oneway": True, "persistent": True, "timeoutMs": 600_000},
        )
        if number % 100 == 0:
            look()
            status = control.get(f"/simulator/commands/{sent['rpcId']}")["status"]
            queued += status == "QUEUED"
    try:
        wait_for("subscriptions of all devices after the restart", WITHIN, lambda: look() or None)
        wait_for("PUBACKs of all commands", 30, lambda: acknowledged(control) >= count or None)
    except Failure as failure:
        bench.figures.record_errors("restart", {str(failure): 1})
    # A command that came twice would come now.
    time.sleep(min(2.0, bench.seconds))
    driver.interrupt()
    result = driver.result()
    gateway.check()
    bench.figures.record_errors("restart", result["errors"], result["failures"])
    notified = {int(times): devices for times, devices in result.get("notified", {}).items()}
    lost = count - sum(devices for times, devices in notified.items() if times > 0)
    repeated = sum((times - 1) * devices for times, devices in notified.items() if times > 1)
    bench.figures.add(
        {
            "restart.seconds": NEVER if subscribed is None else subscribed,
            "restart.lost": float(lost),
            "restart.repeated": float(repeated),
            "restart.kept": 100.0 * queued / max(1, len(range(0, count, 100))),
        }
    )
    how = "not all subscribed" if subscribed is None else f"all subscribed after {subscribed:.1f} s"
    return f"{how}, commands lost {lost}, twice {repeated}"


def answers(simulator: Simulator) -> servers.Control | None:
    control = simulator.control()
    try:
        control.get("/simulator/mqtt/counts")
    except (OSError, Failure, servers.http.client.HTTPException):
        return None
    return control

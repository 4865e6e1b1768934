"""What is done once a round."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable

from .children import Children
from .drivers import Drivers, Result
from .figures import Figures
from .servers import Server, Sink
from .world import World


@dataclass
class Bench:
    """What a step has at hand. Its children end with it."""

    children: Children
    world: World
    figures: Figures

    @property
    def drivers(self) -> Drivers:
        return Drivers(self.children, self.world)

    @property
    def seconds(self) -> float:
        return self.world.options.seconds

    @property
    def sessions(self) -> int:
        return self.world.options.sessions

    def sink(self) -> Sink:
        return Sink.start(self.children, self.world)


@dataclass(frozen=True)
class Step:
    """One measurement of one thing."""

    name: str
    # What it takes, as far as can be told before it was done once.
    seconds: float
    # Adds to the figures, and gives what the progress line says.
    run: Callable[[Bench], str]


def answered(bench: Bench, name: str, result: Result, servers: dict[str, Server]) -> str:
    """Puts a request loop's rate, latencies, and CPU a request by process into the figures."""
    requests = result["requests"]
    count = requests["count"]
    figures = {f"{name}.rate": requests["per_second"]}
    for quantile, milliseconds in (requests.get("latency_ms") or {}).items():
        figures[f"{name}.{quantile}"] = milliseconds
    used = {one["pid"]: one["cpu_seconds"] for one in result.get("watched", [])}
    spent = {whose: used.get(server.pid) for whose, server in servers.items()}
    spent["driver"] = result["driver"]["measured_cpu_seconds"]
    for whose, seconds in spent.items():
        if seconds is not None and count:
            figures[f"{name}.cpu.{whose}"] = seconds / count * 1e6
            figures[f"{name}.cores.{whose}"] = seconds / result["measured_seconds"]
    bench.figures.add(figures)
    bench.figures.complain(name, result["errors"])
    for server in servers.values():
        server.check()
    return f"{requests['per_second']:,.0f}/s"

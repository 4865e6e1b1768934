"""A step: one measurement, made once a round."""

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
    """What a step works with. Its children are stopped at its end."""

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
    """One measurement."""

    name: str
    # An estimate of its duration, for the progress line of the first round.
    seconds: float
    # Records its figures, and returns a summary for the progress line.
    run: Callable[[Bench], str]


def answered(bench: Bench, name: str, result: Result, servers: dict[str, Server]) -> str:
    """Records the rate, the latencies, and each process's CPU time a request."""
    requests = result["requests"]
    count = requests["count"]
    figures = {f"{name}.rate": requests["per_second"]}
    for quantile, milliseconds in (requests.get("latency_ms") or {}).items():
        figures[f"{name}.{quantile}"] = milliseconds
    used = {one["pid"]: one["cpu_seconds"] for one in result.get("watched", [])}
    spent = {process: used.get(server.pid) for process, server in servers.items()}
    spent["driver"] = result["driver"]["measured_cpu_seconds"]
    for process, seconds in spent.items():
        if seconds is not None and count:
            figures[f"{name}.cpu.{process}"] = seconds / count * 1e6
            figures[f"{name}.cores.{process}"] = seconds / result["measured_seconds"]
    bench.figures.add(figures)
    bench.figures.record_errors(name, result["errors"])
    for server in servers.values():
        server.check()
    return f"{requests['per_second']:,.0f}/s"

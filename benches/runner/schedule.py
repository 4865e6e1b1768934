"""The rounds: each step once, then each step again, so that a drift of the machine's speed affects all steps alike."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from . import (
    commands,
    flood,
    gets,
    handshakes,
    latency,
    memory,
    moves,
    observers,
    posts,
    restart,
    steal,
    storm,
    stored,
    suites,
    upstream,
)
from .children import Children, Failure
from .figures import Figures
from .options import Options
from .steal import Ticks
from .step import Bench, Step
from .world import World

PARTS = {
    "posts": posts.steps,
    "upstream": upstream.steps,
    "suites": suites.steps,
    "gets": gets.steps,
    "handshakes": handshakes.steps,
    "latency": latency.steps,
    "memory": memory.steps,
    "moves": moves.steps,
    "observers": observers.steps,
    "commands": commands.steps,
    "restart": restart.steps,
    "stored": stored.steps,
    "storm": storm.steps,
    "flood": flood.steps,
}


class Progress:
    """Prints a line for each step, with its result and an estimate of the time that the rest will take."""

    def __init__(self, steps: list[Step], rounds: int) -> None:
        self._steps = steps
        self._took: dict[str, float] = {}
        self._total = len(steps) * rounds
        self._done = 0

    def begin(self, round_: int, step: Step) -> None:
        self._done += 1
        left = self._left(round_)
        time_left = f"{left / 60:.0f} min" if left >= 90 else f"{left:.0f} s"
        line = f"[{self._done}/{self._total}, {time_left} left] round {round_}: {step.name}: "
        print(line, end="", file=sys.stderr, flush=True)

    def end(self, step: Step, took: float, result: str) -> None:
        self._took[step.name] = took
        print(result, file=sys.stderr, flush=True)

    def _left(self, round_: int) -> float:
        """The estimated time of the remaining steps, in seconds: what each took last time, or its own estimate."""
        whole = [self._took.get(step.name, step.seconds) for step in self._steps]
        before = (self._done - 1) % len(whole)
        rounds = self._total // len(whole)
        return sum(whole[before:]) + sum(whole) * (rounds - round_)


def measure(options: Options, figures: Figures) -> bool:
    """Runs all rounds, and returns whether all steps succeeded. The figures of a step that fails are missing."""
    complete = True
    steps = [step for part in PARTS if part in options.parts for step in PARTS[part](options)]
    progress = Progress(steps, options.rounds)
    # In memory if possible: `certs` waits until each of its files is on the disk, which takes minutes for 100,000 devices.
    in_memory = Path("/dev/shm")
    place = in_memory if in_memory.is_dir() and not os.environ.get("TMPDIR") else None
    with tempfile.TemporaryDirectory(prefix="coaps-gateway-bench-", dir=place) as name:
        directory = Path(name)
        print(f"making {options.devices:,} certificates", file=sys.stderr, flush=True)
        world = World(directory, options)
        for round_ in range(1, options.rounds + 1):
            figures.round = round_
            for step in steps:
                progress.begin(round_, step)
                began, ticks = time.monotonic(), Ticks.now()
                try:
                    with Children(directory) as children:
                        result = step.run(Bench(children, world, figures))
                        steal.record(figures, step.name, ticks)
                except Failure as failure:
                    result, complete = f"failed: {failure}", False
                    figures.record_errors(step.name, {"failed": str(failure).splitlines()[0]})
                progress.end(step, time.monotonic() - began, result)
    return complete

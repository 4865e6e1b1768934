"""Child processes, which are stopped when the run ends for whatever reason.

Each is stopped by its own process id, never by name: the same programs may run on this machine for other purposes.
Their output goes to files, so that no child blocks on a full pipe, and a failure can quote the last lines.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Callable, TypeVar

from .interrupts import deferred

Found = TypeVar("Found")


class Failure(Exception):
    """A measurement is not possible; the message says why, and what to do where that is known."""


def wait_for(what: str, bound: float, look: Callable[[], Found | None]) -> Found:
    """Calls `look` until it returns something, for `bound` seconds at most."""
    deadline = time.monotonic() + bound
    while True:
        found = look()
        if found is not None:
            return found
        if time.monotonic() > deadline:
            raise Failure(f"{what}: not within {bound:.0f} s")
        time.sleep(0.02)


class Child:
    """One child process."""

    def __init__(self, name: str, argv: Sequence[str | Path], directory: Path) -> None:
        self.name = name
        self.argv = [str(argument) for argument in argv]
        self._out, self._err = directory / f"{name}.out", directory / f"{name}.err"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=out, stderr=err)

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def out(self) -> str:
        return self._out.read_text(errors="replace")

    @property
    def err(self) -> str:
        return self._err.read_text(errors="replace")

    def failed(self, what: str) -> Failure:
        """A failure with the last lines of its output."""
        last = "\n".join((self.out + self.err).splitlines()[-15:])
        return Failure(f"{self.name} {what}\n  {' '.join(self.argv)[:500]}\n{last}")

    def await_output(self, what: str, bound: float, look: Callable[[str], Found | None]) -> Found:
        """Waits until `look` finds something in its output; if it ends before, that is a failure."""

        def found() -> Found | None:
            seen = look(self.out + self.err)
            if seen is None and self.process.poll() is not None:
                raise self.failed(f"ended with {self.process.returncode} before {what}")
            return seen

        try:
            return wait_for(what, bound, found)
        except Failure as failure:
            if self.process.poll() is None:
                raise self.failed(str(failure)) from None
            raise

    def await_end(self, bound: float) -> int:
        """Waits until it ends, and returns its exit status."""
        try:
            return self.process.wait(bound)
        except subprocess.TimeoutExpired:
            raise self.failed(f"did not end within {bound:.0f} s") from None

    def check_alive(self) -> None:
        """Raises a failure if it has ended: then what was measured was not this process."""
        status = self.process.poll()
        if status is not None:
            raise self.failed(f"ended with {status} during the measurement")

    def stop(self) -> None:
        """Kills it if it has not ended."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


class Children:
    """The child processes of a step. Leaving the context stops them, the last first."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._all: list[Child] = []

    def start(self, name: str, argv: Sequence[str | Path]) -> Child:
        with deferred():
            child = Child(name, argv, self.directory)
            self._all.append(child)
        return child

    def __enter__(self) -> Children:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        with deferred():
            for child in reversed(self._all):
                child.stop()

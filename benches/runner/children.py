"""Processes that end with us, whatever happens.

Each is stopped by its own id, never by name: others may run the same programs on this machine. Their output goes to
files, so that none of them ever waits for us to read it, and a failure can be told with its last words.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Callable, TypeVar

from .interrupts import held

Found = TypeVar("Found")


class Failure(Exception):
    """Something did not go as a measurement needs it; the message says what, and what to do where that is known."""


def wait_for(what: str, bound: float, look: Callable[[], Found | None]) -> Found:
    """Looks until there is something, for so many seconds at the most."""
    deadline = time.monotonic() + bound
    while True:
        found = look()
        if found is not None:
            return found
        if time.monotonic() > deadline:
            raise Failure(f"{what} did not come about within {bound:.0f} s")
        time.sleep(0.02)


class Child:
    """One process."""

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
        """A failure, with its last words."""
        last = "\n".join((self.out + self.err).splitlines()[-15:])
        return Failure(f"{self.name} {what}\n  {' '.join(self.argv)[:500]}\n{last}")

    def await_output(self, what: str, bound: float, look: Callable[[str], Found | None]) -> Found:
        """Waits for something in what it writes; its end before that is a failure."""

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
        """Waits for its end, and gives its status."""
        try:
            return self.process.wait(bound)
        except subprocess.TimeoutExpired:
            raise self.failed(f"did not end within {bound:.0f} s") from None

    def check_alive(self) -> None:
        """A failure, if it has ended: then it was not measured."""
        status = self.process.poll()
        if status is not None:
            raise self.failed(f"ended with {status} before its time")

    def stop(self) -> None:
        """Ends it, if it has not ended."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


class Children:
    """All that are there at a time. Leaving it ends them, the last first."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._all: list[Child] = []

    def start(self, name: str, argv: Sequence[str | Path]) -> Child:
        with held():
            child = Child(name, argv, self.directory)
            self._all.append(child)
        return child

    def __enter__(self) -> Children:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        with held():
            for child in reversed(self._all):
                child.stop()

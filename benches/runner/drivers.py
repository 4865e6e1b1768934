"""The programs that put servers under load, and their reports."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .children import Child, Children
from .world import ADDRESSES, PAYLOAD, REQUESTS, TOKEN, World

# Seconds that a driver may take beyond its --duration: for connecting, and for closing thousands of sessions.
MARGIN = 90.0

Result = Mapping[str, Any]


class Driver:
    """A driver that is running."""

    def __init__(self, child: Child, report: Path, bound: float) -> None:
        self.child = child
        self._report = report
        self._bound = bound

    @property
    def pid(self) -> int:
        return self.child.pid

    def await_measuring(self, bound: float) -> None:
        """Waits until each of its sessions was established or has failed."""
        self.child.await_output("the driver measures", bound, lambda text: " measuring: " in text or None)

    def await_sessions(self, wanted: int, bound: float) -> None:
        """Waits until `wanted` sessions are established. The driver prints their number every five seconds."""
        line = re.compile(rf"measuring: {wanted} sessions,")
        self.child.await_output(f"{wanted} sessions were established", bound, lambda text: line.search(text))

    def interrupt(self) -> None:
        """Ends it early; it still writes its report."""
        if self.child.process.poll() is None:
            self.child.process.send_signal(signal.SIGINT)

    def interrupt_after(self, seconds: float) -> None:
        """Ends it after a time in which what is under way arrives."""
        time.sleep(seconds)
        self.interrupt()

    def result(self) -> Result:
        """Waits until it ends, and returns its report."""
        status = self.child.await_end(self._bound)
        # The load driver's 1 means that no request was answered. That is a result, too.
        if status not in (0, 1) or not self._report.exists():
            raise self.child.failed(f"ended with {status}")
        result: Result = json.loads(self._report.read_text())
        return result


class Drivers:
    """Starts drivers. At most one driver of each name may run at a time."""

    def __init__(self, children: Children, world: World) -> None:
        self._children = children
        self._world = world

    def _start(self, name: str, argv: Sequence[str | Path], seconds: float, before: Sequence[str] = ()) -> Driver:
        report = self._children.directory / f"{name}.json"
        report.unlink(missing_ok=True)
        child = self._children.start(name, [*before, *argv, "--json", report])
        return Driver(child, report, seconds + MARGIN)

    def load(
        self,
        name: str,
        address: str,
        path: str,
        identities: Path,
        sessions: int,
        seconds: float,
        *more: str,
        watch: Sequence[int] = (),
        before: Sequence[str] = (),
        dtls: str | None = None,
    ) -> Driver:
        """The load driver. `--insecure`, because it can't verify a server with dimpl or own, and all runs must do the same."""
        argv: list[str | Path] = [self._world.program("load"), f"coaps://{address}/{path}", "--insecure"]
        argv += ["--identities", identities, "--sessions", str(sessions), "--duration", f"{seconds * 1000:.0f}ms"]
        argv += ["--dtls", dtls or self._world.options.dtls or REQUESTS, "--from", ADDRESSES, *more]
        return self._start(name, argv + _watch(watch), seconds, before)

    def posts(
        self,
        name: str,
        address: str,
        identities: Path,
        sessions: int,
        seconds: float,
        *more: str,
        watch: Sequence[int] = (),
        dtls: str | None = None,
    ) -> Driver:
        """Sessions that post telemetry."""
        post = ("--method", "post", "--payload", PAYLOAD, "--content-format", "50")
        path = "api/v1/telemetry"
        return self.load(name, address, path, identities, sessions, seconds, *post, *more, watch=watch, dtls=dtls)

    def direct(self, url: str, seconds: float, *more: str, watch: Sequence[int] = ()) -> Driver:
        """The reference client: as many connections as the load driver has sessions, without a gateway."""
        argv: list[str | Path] = [self._world.program("bench"), "direct", f"{url}/api/v1/{TOKEN}/telemetry"]
        argv += ["--connections", str(self._world.options.sessions), "--duration", f"{seconds * 1000:.0f}ms"]
        argv += ["--payload", PAYLOAD, *more]
        return self._start("direct", argv + _watch(watch), seconds)

    def flood(self, name: str, address: str, rate: int, seconds: float) -> Driver:
        """Forged ClientHellos."""
        argv: list[str | Path] = [
            self._world.program("bench"),
            "flood",
            address,
            "--rate",
            str(rate),
            "--duration",
            f"{seconds * 1000:.0f}ms",
        ]
        return self._start(name, argv, seconds)


def _watch(pids: Sequence[int]) -> list[str | Path]:
    return ["--watch", ",".join(map(str, pids))] if pids else []

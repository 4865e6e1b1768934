"""The command line."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

ROOT = Path(__file__).resolve().parents[2]

PARTS: dict[str, str] = {
    "posts": "posts directly to an HTTP sink, and the same through the gateway; CPU a request",
    "upstream": "posts through the gateway to the simulator, over HTTP and over MQTT; CPU a request",
    "gets": "GETs answered by libcoap's servers without any upstream; CPU a request",
    "suites": "posts through the gateway with AES-GCM and with AES-CCM_8; CPU a request",
    "handshakes": "full handshakes a second of the gateway and of libcoap's servers, on one core; and resumed ones",
    "memory": "resident memory with idle sessions that have made one post",
    "moves": "devices that all get another port at once",
    "latency": "latency at half the gateway's maximum rate, against the direct post; libcoap's as a control",
    "observers": "resident memory with observing devices, over HTTP, MQTT and MQTT with TLS",
    "commands": "commands over MQTT until their devices have acknowledged them",
    "restart": "a restart of ThingsBoard while devices observe over MQTT",
    "stored": "a kill, a stop and starts with stored sessions; CPU a request with a store and without",
    "storm": "many devices at once after a restart",
    "flood": "forged ClientHellos, while devices work",
}


@dataclass(frozen=True)
class Options:
    """The parsed command line: what to measure, and for how long."""

    rounds: int
    seconds: float
    sessions: int
    idle: tuple[int, ...]
    parts: tuple[str, ...]
    dtls: str | None
    storm: int
    moved: int
    stored: tuple[int, ...]
    observing: int
    commanded: int
    flood: int
    profile: str
    build: bool
    baseline: Path | None
    out: Path
    json: Path | None

    @property
    def binaries(self) -> Path:
        """Where cargo puts what it builds."""
        return ROOT / "target" / ("debug" if self.profile == "dev" else self.profile)

    @property
    def devices(self) -> int:
        """How many certificates the largest measurement needs."""
        idle = max(self.idle) if "memory" in self.parts else 0
        stored = max(self.stored) if "stored" in self.parts else 0
        return max(self.one_driver, idle, stored)

    @property
    def one_driver(self) -> int:
        """How many certificates the largest measurement needs that has a single driver."""
        storm = self.storm if {"storm", "restart", "stored"} & set(self.parts) else 0
        moved = self.moved if "moves" in self.parts else 0
        observing = self.observing if "observers" in self.parts else 0
        commanded = self.commanded if "commands" in self.parts else 0
        return max(self.sessions, storm, moved, observing, commanded)


def _whole(least: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        number = int(text)
        if number < least:
            raise argparse.ArgumentTypeError(f"{text}: at least {least}")
        return number

    return read


def _idle(text: str) -> tuple[int, ...]:
    numbers = tuple(sorted({int(part) for part in text.split(",")}))
    if numbers[0] != 0 or len(numbers) < 2:
        raise argparse.ArgumentTypeError(f"{text}: 0, which the others are compared with, and others")
    return numbers


def _stored(text: str) -> tuple[int, ...]:
    return tuple(sorted({_whole(1)(part) for part in text.split(",")}))


def _parts(text: str) -> tuple[str, ...]:
    wanted = text.split(",")
    for part in wanted:
        if part not in PARTS:
            raise argparse.ArgumentTypeError(f"{part!r} is none of {', '.join(PARTS)}")
    if "latency" in wanted:
        # Half of the maximum rate needs the maximum.
        wanted.append("posts")
    return tuple(part for part in PARTS if part in wanted)


def read(arguments: list[str] | None = None) -> Options:
    """Parses the command line; prints an error and exits if it is wrong, as argparse does."""
    parser = argparse.ArgumentParser(
        prog="benches/run",
        description="Measures the gateway, a direct HTTP client and libcoap's servers on this machine, and writes "
        "benches/RESULTS.md. The targets are ratios: absolute figures can't be compared between machines.",
        epilog="parts: " + "; ".join(f"{name}: {what}" for name, what in PARTS.items()),
    )
    add = parser.add_argument
    add("--rounds", type=_whole(1), default=5, metavar="N", help="rounds, each with every measurement once (5)")
    add("--seconds", type=float, default=10.0, metavar="S", help="how long each measurement lasts (10)")
    add("--sessions", type=_whole(1), default=100, metavar="N", help="sessions that post and get (100)")
    add("--idle", type=_idle, default=(0, 10_000, 100_000), metavar="0,N,…", help="idle sessions (0,10000,100000)")
    add("--only", type=_parts, default=tuple(PARTS), metavar="PART,…", dest="parts", help="run only these parts")
    add(
        "--dtls",
        choices=("webrtc", "dimpl", "own"),
        help="the driver's DTLS in every comparison: webrtc-dtls, which shares nothing with the gateway, the client of "
        "its own engine, or its library for DTLS 1.3 (webrtc for requests; own for handshakes, which cost the driver least)",
    )
    add("--storm", type=_whole(1), default=10_000, metavar="N", help="devices of the storm, and of the restart (10000)")
    add("--moved", type=_whole(1), default=10_000, metavar="N", help="devices that get another port at once (10000)")
    add("--stored", type=_stored, default=(10_000, 100_000), metavar="N,…", help="stored sessions (10000,100000)")
    add("--observing", type=_whole(1), default=5000, metavar="N", help="observing devices whose memory is measured (5000)")
    add("--commanded", type=_whole(1), default=1000, metavar="N", help="devices that get commands (1000)")
    add("--flood", type=_whole(1), default=50_000, metavar="N", help="forged ClientHellos a second (50000)")
    add("--profile", choices=("release", "dev"), default="release", help="cargo's profile; dev is for tests of this")
    add("--no-build", action="store_false", dest="build", help="use the binaries that are built already")
    add("--baseline", type=Path, metavar="PROGRAM", help="another gateway, whose handshakes and posts are measured as well")
    add("--out", type=Path, default=ROOT / "benches" / "RESULTS.md", metavar="FILE", help="the report")
    add("--json", type=Path, metavar="FILE", help="also write every figure of every round")
    return Options(**vars(parser.parse_args(arguments)))

"""What was promised, and whether it is so; and what a promise is to be seen beside.

A ratio is taken within each round and its median held against the bar. Where it says *every*, the worst round is:
what must never happen has not happened seldom enough.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable

from .figures import Figures, Spread
from .options import Options
from .world import VERSIONS

# As docs/sizing.md has it: limits.handshakes, half open, under the attacks of tests/abuse.rs.
HALF_OPEN_CAP = 18 * 1024.0


@dataclass(frozen=True)
class Bar:
    """One promise, or a control, of which nothing was promised."""

    what: str
    bar: str
    # What was seen, in words; None: not measured.
    seen: str | None
    # None: a control.
    meets: bool | None


def all_of(options: Options, figures: Figures) -> list[Bar]:
    """In the order of the promises."""
    largest = max(options.idle)
    return [
        _at_least(
            f"telemetry through the gateway, {options.sessions} sessions, relative to the direct post: rate",
            figures.ratio("gateway.rate", "direct.rate"),
            0.4,
        ),
        _at_most(
            "processor time of a forwarded request in the gateway, relative to a GET of libcoap GnuTLS without upstream",
            figures.ratio("gateway.cpu.gateway", "gnutls.cpu.server"),
            2.5,
        ),
        _at_least(
            "full mutual handshakes a second of one core, relative to libcoap GnuTLS",
            figures.ratio("handshakes.gateway.per_core", "handshakes.gnutls.per_core"),
            3.0,
        ),
        *(
            _bar(
                f"resident memory of a session, {largest:,} idle, DTLS {version}",
                "≤ 14 KiB",
                figures.spread(f"memory.{version}.{largest}.session.rss"),
                "{:.1f}",
                " KiB",
                lambda seen: seen.median <= 14,
            )
            for version in VERSIONS
        ),
        _at_most(
            "p99 latency at half the gateway's maximum rate, relative to the direct post at that rate",
            figures.ratio("half.gateway.p99", "half.direct.p99"),
            3.0,
        ),
        _control(
            "p99 latency of a GET of libcoap GnuTLS, no gateway and no upstream, at that rate, relative to the same direct post",
            figures.ratio("half.gnutls.p99", "half.direct.p99"),
        ),
        *_storm(options, figures),
        *_flood(options, figures),
    ]


def _storm(options: Options, figures: Figures) -> list[Bar]:
    who = f"{options.storm:,} devices at once after a restart"
    told = []
    for version in VERSIONS:
        name = f"storm.{version}"
        told += [
            _bar(
                f"{who}, DTLS {version}: all connected again",
                "≤ 30 s, every time",
                figures.spread(f"{name}.seconds"),
                "{:.1f}",
                " s",
                lambda seen: seen.most <= 30,
            ),
            _none(f"{who}, DTLS {version}: errors of established devices", figures.spread(f"{name}.established.errors")),
        ]
    return told


def _flood(options: Options, figures: Figures) -> list[Bar]:
    what = f"{options.flood:,} forged ClientHellos a second"
    growth = figures.spread("flood.loop.growth")
    return [
        _at_least(
            f"{what}: rate of established devices, closed loop, relative to before",
            figures.ratio("flood.loop.during", "flood.loop.before"),
            0.8,
        ),
        _at_least(
            f"{what}: rate of established devices, at half their maximum, relative to before",
            figures.ratio("flood.paced.during", "flood.paced.before"),
            0.8,
        ),
        _bar(
            f"{what}: growth of memory",
            f"≤ {HALF_OPEN_CAP / 1024:.0f} MiB, every time",
            growth and Spread(*(kib / 1024 for kib in (growth.median, growth.least, growth.most))),
            "{:.1f}",
            " MiB",
            lambda seen: seen.most * 1024 <= HALF_OPEN_CAP,
        ),
        _bar(
            f"{what}: a new device is connected",
            "≤ 30 s, every time",
            figures.spread("flood.loop.newcomer"),
            "{:.2f}",
            " s",
            lambda seen: seen.most <= 30,
        ),
    ]


def _at_least(what: str, ratio: Spread | None, bar: float) -> Bar:
    return _bar(what, f"≥ {bar:g} ×", ratio, "{:.2f}", " ×", lambda seen: seen.median >= bar)


def _at_most(what: str, ratio: Spread | None, bar: float) -> Bar:
    return _bar(what, f"≤ {bar:g} ×", ratio, "{:.2f}", " ×", lambda seen: seen.median <= bar)


def _control(what: str, ratio: Spread | None) -> Bar:
    return Bar(what, "control", ratio and ratio.text("{:.2f}", " ×"), None)


def _none(what: str, seen: Spread | None) -> Bar:
    return _bar(what, "none, ever", seen, "{:.0f}", "", lambda seen: seen.most == 0)


def _bar(what: str, bar: str, seen: Spread | None, form: str, unit: str, holds: Callable[[Spread], bool]) -> Bar:
    if seen is None:
        return Bar(what, bar, None, False)
    return Bar(what, bar, seen.text(form, unit), holds(seen))

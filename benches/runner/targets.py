"""The targets, and whether the measured figures meet them; and a control, which a target is to be compared with.

A ratio is taken within each round, and its median is compared with the target. For a target with "every time" or
"ever", the worst round is compared: one failure in any round is a miss.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable

from . import memory, stored
from .figures import Figures, Spread
from .options import Options
from .world import VERSIONS

# docs/sizing.md: the memory of limits.handshakes half-open handshakes under the attacks of tests/abuse.rs, in KiB.
HALF_OPEN_CAP = 18 * 1024.0


@dataclass(frozen=True)
class Target:
    """One target with its result; or a control, which has none."""

    name: str
    bound: str
    # The result as text; None: not measured.
    measured: str | None
    # None: a control.
    met: bool | None


def all_of(options: Options, figures: Figures) -> list[Target]:
    """All targets, in the order of the report."""
    of_1_3 = max((idle for idle in options.idle if idle <= memory.MOST_1_3), default=0)
    return [
        _at_least(
            f"telemetry through the gateway, {options.sessions} sessions, relative to the direct post: rate",
            figures.ratio("gateway.rate", "direct.rate"),
            0.4,
        ),
        _at_most(
            "processor time of a forwarded post, over MQTT relative to HTTP, the same simulator",
            figures.ratio("upstream.mqtt.cpu.gateway", "upstream.http.cpu.gateway"),
            0.8,
        ),
        _at_least(
            f"posts through the gateway to the simulator, {options.sessions} sessions, over MQTT relative to HTTP: rate",
            figures.ratio("upstream.mqtt.rate", "upstream.http.rate"),
            1.2,
        ),
        _at_most(
            "processor time of a forwarded request in the gateway, relative to a GET of libcoap GnuTLS without upstream",
            figures.ratio("gateway.cpu.gateway", "gnutls.cpu.server"),
            2.5,
        ),
        _at_least(
            "full mutual handshakes a second of one core, relative to libcoap GnuTLS",
            figures.ratio("handshakes.gateway.per_core", "handshakes.gnutls.per_core"),
            3.5,
        ),
        _at_most(
            "processor time of a resumed handshake, relative to a full one",
            figures.ratio("handshakes.gateway.per_core", "handshakes.resumed.per_core"),
            0.2,
        ),
        *_baseline(options, figures),
        _target(
            f"resident memory of a further session, idle after one post, {_between(options)}, DTLS 1.2",
            "≤ 1 KiB",
            figures.spread("memory.1.2.slope"),
            "{:.2f}",
            " KiB",
            lambda measured: measured.median <= 1,
        ),
        _target(
            f"resident memory of a session, {of_1_3:,} idle after one post, DTLS 1.3",
            "≤ 14 KiB",
            figures.spread(f"memory.1.3.{of_1_3}.session.rss"),
            "{:.1f}",
            " KiB",
            lambda measured: measured.median <= 14,
        ),
        _none(
            f"{options.moved:,} devices that all get another port at once: not served by their next message without a handshake",
            figures.spread("moves.not_served"),
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
        *_mqtt(options, figures),
        *_stored(options, figures),
        *_storm(options, figures),
        *_flood(options, figures),
    ]


def _between(options: Options) -> str:
    """The numbers of sessions between which the slope is taken."""
    *_, fewer, more = options.idle
    return f"from {fewer:,} to {more:,}"


def _baseline(options: Options, figures: Figures) -> list[Target]:
    if options.baseline is None:
        return []
    return [
        _at_most(
            "processor time of a full handshake, relative to the gateway of before",
            figures.ratio("handshakes.baseline.per_core", "handshakes.gateway.per_core"),
            1.0,
        ),
        *(
            _at_most(
                f"processor time of a post with {suite}, relative to the gateway of before with AES-128-GCM",
                figures.ratio(f"suites.{name}.cpu.gateway", "suites.baseline.cpu.gateway"),
                1.0,
            )
            for name, suite in (("gcm", "AES-128-GCM"), ("ccm8", "AES-128-CCM_8"))
        ),
    ]


def _mqtt(options: Options, figures: Figures) -> list[Target]:
    restart = f"ThingsBoard's MQTT restarts, {options.storm:,} observing devices"
    return [
        *(
            _target(
                f"resident memory of a device that observes over {name}, upstream's side",
                "≤ 6 KiB",
                figures.spread(f"observing.{upstream}.upstream"),
                "{:.1f}",
                " KiB",
                lambda measured: measured.median <= 6,
            )
            for upstream, name in (("mqtt", "MQTT"), ("mqtts", "MQTT with TLS"))
        ),
        _target(
            f"a command over MQTT until its device has acknowledged it, {options.commanded:,} devices: p99",
            "≤ 10 ms",
            figures.spread("commands.p99"),
            "{:.1f}",
            " ms",
            lambda measured: measured.median <= 10,
        ),
        _target(
            f"{restart}: all subscribed again",
            "≤ 30 s, every time",
            figures.spread("restart.seconds"),
            "{:.1f}",
            " s",
            lambda measured: measured.most <= 30,
        ),
        _none(f"{restart}: commands lost", figures.spread("restart.lost")),
        _none(f"{restart}: commands that came again", figures.spread("restart.repeated")),
    ]


def _stored(options: Options, figures: Figures) -> list[Target]:
    most = max(options.stored)
    devices = f"a kill and a start with {options.storm:,} observing devices"
    targets = []
    for count in options.stored:
        seconds = 1 if count <= 10_000 else 5
        sessions = f"a kill, a stop and starts with {count:,} stored sessions"
        targets += [
            _target(
                f"{sessions}: ready after the kill",
                f"≤ {seconds} s",
                figures.spread(f"stored.{count}.ready"),
                "{:.2f}",
                " s",
                lambda measured, seconds=seconds: measured.median <= seconds,
            ),
            _none(f"{sessions}: not served without a handshake", figures.spread(f"stored.{count}.unserved")),
        ]
    return [
        *targets,
        _target(
            f"resident memory of a further restored session, up to {most:,}",
            "≤ 1.2 KiB",
            figures.spread("stored.slope"),
            "{:.2f}",
            " KiB",
            lambda measured: measured.median <= 1.2,
        ),
        _target(
            f"a stored session at rest on disk, of {most:,}",
            "≤ 400 bytes",
            figures.spread(f"stored.{most}.disk"),
            "{:.0f}",
            " bytes",
            lambda measured: measured.median <= 400,
        ),
        _none(f"{devices}: handshakes", figures.spread("stored.observing.handshakes")),
        _none(f"{devices}: commands lost", figures.spread("stored.observing.lost")),
        _none(f"{devices}: commands that came again", figures.spread("stored.observing.repeated")),
        *(
            _at_most(
                f"processor time of a post with a store, relative to none, {how}",
                figures.ratio(f"stored.{load}.file.cpu", f"stored.{load}.none.cpu"),
                1.05,
            )
            for load, how in stored.LOADS.items()
        ),
    ]


def _storm(options: Options, figures: Figures) -> list[Target]:
    devices = f"{options.storm:,} devices at once after a restart"
    targets = []
    for version in VERSIONS:
        name = f"storm.{version}"
        targets += [
            _target(
                f"{devices}, DTLS {version}: all connected again",
                "≤ 30 s, every time",
                figures.spread(f"{name}.seconds"),
                "{:.1f}",
                " s",
                lambda measured: measured.most <= 30,
            ),
            _none(
                f"{devices}, DTLS {version}: errors of established devices",
                figures.spread(f"{name}.established.errors"),
            ),
        ]
    return targets


def _flood(options: Options, figures: Figures) -> list[Target]:
    flood = f"{options.flood:,} forged ClientHellos a second"
    growth = figures.spread("flood.loop.growth")
    return [
        _at_least(
            f"{flood}: rate of established devices, closed loop, relative to before",
            figures.ratio("flood.loop.during", "flood.loop.before"),
            0.8,
        ),
        _at_least(
            f"{flood}: rate of established devices, at half their maximum, relative to before",
            figures.ratio("flood.paced.during", "flood.paced.before"),
            0.8,
        ),
        _target(
            f"{flood}: growth of memory",
            f"≤ {HALF_OPEN_CAP / 1024:.0f} MiB, every time",
            growth and Spread(*(kib / 1024 for kib in (growth.median, growth.least, growth.most))),
            "{:.1f}",
            " MiB",
            lambda measured: measured.most * 1024 <= HALF_OPEN_CAP,
        ),
        _target(
            f"{flood}: a new device is connected",
            "≤ 30 s, every time",
            figures.spread("flood.loop.new_device"),
            "{:.2f}",
            " s",
            lambda measured: measured.most <= 30,
        ),
    ]


def _at_least(name: str, ratio: Spread | None, bound: float) -> Target:
    return _target(name, f"≥ {bound:g} ×", ratio, "{:.2f}", " ×", lambda measured: measured.median >= bound)


def _at_most(name: str, ratio: Spread | None, bound: float) -> Target:
    return _target(name, f"≤ {bound:g} ×", ratio, "{:.2f}", " ×", lambda measured: measured.median <= bound)


def _control(name: str, ratio: Spread | None) -> Target:
    return Target(name, "control", ratio and ratio.text("{:.2f}", " ×"), None)


def _none(name: str, count: Spread | None) -> Target:
    return _target(name, "none, ever", count, "{:.0f}", "", lambda measured: measured.most == 0)


def _target(
    name: str, bound: str, measured: Spread | None, form: str, unit: str, meets: Callable[[Spread], bool]
) -> Target:
    if measured is None:
        return Target(name, bound, None, False)
    return Target(name, bound, measured.text(form, unit), meets(measured))

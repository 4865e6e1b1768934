"""Writes benches/RESULTS.md: ratios and targets first, then the absolute figures."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence

from . import environment, observers, servers, steal, stored, suites, targets
from .figures import Figures
from .options import Options
from .world import ADDRESSES, ESTABLISHED, HANDSHAKES, PAYLOAD, REQUESTS, VERSIONS

ABSOLUTE = (
    "Figures of one machine, on which everything ran at once. They are not comparable between machines."
)
CONTROL = (
    "A control has no target. It is the same driver, with as many sessions and at the same rate, against a server in C "
    "that answers by itself. What it has above 1 × is not due to the gateway, but to the driver, DTLS, that server, and "
    "the machine."
)


def verdict(options: Options, figures: Figures) -> str:
    """The targets and their results, for a terminal."""
    lines = []
    for target in targets.all_of(options, figures):
        if target.measured is not None:
            lines.append(f"{_verdict(target):7} {target.name}: {target.measured}; {target.bound}")
    return "\n".join(lines)


def text(options: Options, figures: Figures, took: float) -> str:
    """The whole report."""
    return (
        "\n\n".join(
            part
            for part in (
                "# Benchmarks",
                _about(options, took),
                "## Ratios and targets",
                _targets(options, figures),
                "## Telemetry and GETs",
                ABSOLUTE,
                _requests(options, figures),
                "## Processor time of a request",
                _processor_time(figures),
                "## Handshakes",
                _handshakes(figures),
                "## Resident memory",
                _memory(options, figures),
                "## Other ports",
                _moves(options, figures),
                "## Stored sessions",
                _stored(options, figures),
                "## Many devices at once",
                _storm(options, figures),
                "## Forged ClientHellos",
                _flood(options, figures),
                "## Observing devices",
                _observers(options, figures),
                _restart(options, figures),
                "## Machine and versions",
                _table(("", ""), [*environment.machine(), *environment.versions()]),
                "## Processor time stolen",
                stolen(figures),
                "## Conditions",
                _conditions(options),
                "## Errors",
                _errors(figures),
            )
            if part
        )
        + "\n"
    )


def _about(options: Options, took: float) -> str:
    today = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d")
    rounds = "1 round" if options.rounds == 1 else f"{options.rounds} rounds"
    about = (
        f"Written by `benches/run` on {today}: {rounds}, each with every measurement once ({options.seconds:g} s), in "
        f"{took / 60:.0f} minutes. A figure is the median of the rounds, followed by the least and the most. A "
        "ratio is taken within a round."
    )
    if options.profile != "release":
        about += (
            f"\n\n**Profile `{options.profile}`: a test of the runner. These figures say nothing about the gateway.**"
        )
    return about


def _verdict(target: targets.Target) -> str:
    if target.met is None:
        return "–"
    return "meets" if target.met else "misses"


def _targets(options: Options, figures: Figures) -> str:
    rows = [
        (target.name, target.bound, target.measured or "not measured", _verdict(target) if target.measured else "–")
        for target in targets.all_of(options, figures)
    ]
    return _table(("", "target", "measured", ""), rows) + f"\n\n{CONTROL}"


NAMES = {
    "direct": "posts directly to the sink",
    "gateway": "posts through the gateway",
    "upstream.http": "posts through the gateway to the simulator over HTTP",
    "upstream.mqtt": "the same over MQTT",
    **{f"suites.{name}": what for name, what in suites.NAMES.items()},
    "openssl": "GETs of `coap-server-openssl`",
    "gnutls": "GETs of `coap-server-gnutls`",
    "half.direct": "posts directly to the sink, at half the gateway's maximum",
    "half.gateway": "posts through the gateway, at half its maximum",
    "half.gnutls": "GETs of `coap-server-gnutls`, at half the gateway's maximum",
}


def _requests(options: Options, figures: Figures) -> str:
    rows = [
        (
            what,
            _cell(figures, f"{name}.rate", "{:,.0f}"),
            *(_cell(figures, f"{name}.{quantile}", "{:.2f}") for quantile in ("p50", "p99", "p99_9")),
        )
        for name, what in NAMES.items()
        if figures.spread(f"{name}.rate")
    ]
    return _table((f"{options.sessions} sessions", "a second", "p50, ms", "p99, ms", "p99.9, ms"), rows)


def _processor_time(figures: Figures) -> str:
    def of(name: str, process: str) -> str:
        return _cell(figures, f"{name}.cpu.{process}", "{:.1f}")

    rows = []
    for name, what in NAMES.items():
        if figures.spread(f"{name}.rate"):
            server = "gateway" if name.endswith("gateway") or name.startswith(("upstream", "suites")) else "server"
            rows.append((what, of(name, server), of(name, "sink"), of(name, "driver")))
    return _table(("µs", "gateway or server", "sink", "driver"), rows)


def _handshakes(figures: Figures) -> str:
    rows = []
    names = {"gateway": "gateway", "resumed": "gateway, resumed", "baseline": "gateway of `--baseline`", **servers.LIBCOAP}
    for name, what in names.items():
        if figures.spread(f"handshakes.{name}.rate"):
            cells = (
                ("per_core", "{:,.0f}"),
                ("rate", "{:,.0f}"),
                ("cores", "{:.2f}"),
                ("driver_cores", "{:.2f}"),
                ("p50", "{:.1f}"),
            )
            rows.append(
                (
                    what,
                    *(_cell(figures, f"handshakes.{name}.{part}", form) for part, form in cells),
                )
            )
    heads = (
        "",
        "a second of its processor time",
        "a second of wall-clock time",
        "cores used by the server",
        "by the driver",
        "p50, ms",
    )
    return _table(heads, rows) + (
        "\n\nThe server has one core, the driver the others. If the server used less than its core, it waited for the "
        "driver, or for others on the machine, and the rate by wall-clock time is not its limit."
        if rows
        else ""
    )


def _memory(options: Options, figures: Figures) -> str:
    rows = []
    for version in VERSIONS:
        for idle in options.idle:
            name = f"memory.{version}.{idle}"
            cells = (("rss", "{:,.0f}"), ("pss", "{:,.0f}"), ("session.rss", "{:.1f}"), ("session.pss", "{:.1f}"))
            if figures.spread(f"{name}.rss"):
                rows.append((f"{idle:,}", version, *(_cell(figures, f"{name}.{part}", form) for part, form in cells)))
    heads = ("idle sessions", "DTLS", "VmRSS, KiB", "Pss, KiB", "VmRSS a session, KiB", "Pss a session, KiB")
    slope = figures.spread("memory.1.2.slope")
    return _table(heads, rows) + (
        f"\n\nBetween the two largest numbers, a session of DTLS 1.2 takes {slope.text('{:.2f}', ' KiB')} of VmRSS." if slope else ""
    )


def _moves(options: Options, figures: Figures) -> str:
    rows = [
        (what, _cell(figures, f"moves.{name}", form))
        for what, name, form in (
            ("not served by their next message", "not_served", "{:.0f}"),
            ("of them served after a handshake", "after_handshake", "{:.0f}"),
            ("until all posts have arrived, s", "seconds", "{:.1f}"),
            ("latency of the post p50, ms", "p50", "{:.1f}"),
            ("retransmissions", "retransmissions", "{:.0f}"),
        )
        if figures.spread(f"moves.{name}")
    ]
    return _table((f"{options.moved:,} devices get another port at once", ""), rows)


def _stored(options: Options, figures: Figures) -> str:
    rows = [
        (what, *(_cell(figures, f"stored.{count}.{name}", form) for count in options.stored))
        for what, name, form in (
            ("ready after a start without stored sessions, s", "start", "{:.2f}"),
            ("its processor time until then, s", "start.cpu", "{:.2f}"),
            ("ready after a kill, s", "ready", "{:.2f}"),
            ("its processor time until then, s", "ready.cpu", "{:.2f}"),
            ("ready after a stop, s", "ready_after_stop", "{:.2f}"),
            ("its processor time until then, s", "ready_after_stop.cpu", "{:.2f}"),
            ("the stop, s", "stop", "{:.2f}"),
            ("not served without a handshake", "unserved", "{:.0f}"),
            ("handshakes after the starts", "handshakes", "{:.0f}"),
            ("retransmissions of the last pings", "retransmissions", "{:.0f}"),
            ("VmRSS a session before the kill, KiB", "session.rss_before", "{:.2f}"),
            ("VmRSS a session after it, KiB", "session.rss", "{:.2f}"),
            ("on disk a session after the kill, bytes", "disk_at_kill", "{:.0f}"),
            ("on disk a session after the stop, bytes", "disk", "{:.0f}"),
        )
        if any(figures.spread(f"stored.{count}.{name}") for count in options.stored)
    ]
    heads = ("idle sessions that have made one post", *(f"{count:,}" for count in options.stored))
    observing = [
        (what, _cell(figures, f"stored.observing.{name}", form))
        for what, name, form in (
            ("ready after a kill, s", "ready", "{:.2f}"),
            ("its processor time until then, s", "ready.cpu", "{:.2f}"),
            ("until all are subscribed at ThingsBoard again, s", "subscribed", "{:.1f}"),
            ("handshakes", "handshakes", "{:.0f}"),
            ("commands lost", "lost", "{:.0f}"),
            ("commands that came again", "repeated", "{:.0f}"),
            ("on disk a session and its device's relay after the kill, bytes", "disk_at_kill", "{:.0f}"),
        )
        if figures.spread(f"stored.observing.{name}")
    ]
    costs = [
        (how, *(_cell(figures, f"stored.{load}.{turn}.cpu", "{:.1f}") for turn in ("none", "file")))
        for load, how in stored.LOADS.items()
        if figures.spread(f"stored.{load}.none.cpu")
    ]
    return "\n\n".join(
        (
            _table(heads, rows),
            _table((f"{options.storm:,} devices that observe commands over MQTT", ""), observing),
            _table(("processor time of a post in the gateway, µs", "without a store", "with one"), costs),
        )
    )


def _storm(options: Options, figures: Figures) -> str:
    rows = [
        (what, *(_cell(figures, f"storm.{version}.{name}", form) for version in VERSIONS))
        for what, name, form in (
            ("until all were connected again, s", "seconds", "{:.1f}"),
            ("not connected again", "missing", "{:.0f}"),
            ("attempts that failed", "failures", "{:.0f}"),
            (f"posts a second of the {ESTABLISHED} established ones", "established.rate", "{:.0f}"),
            ("their latency p50, ms", "established.p50", "{:.2f}"),
            ("p99, ms", "established.p99", "{:.1f}"),
            ("longest, ms", "established.max", "{:.0f}"),
            ("their errors", "established.errors", "{:.0f}"),
        )
        if figures.spread(f"storm.1.2.{name}")
    ]
    return _table((f"{options.storm:,} devices", *(f"DTLS {version}" for version in VERSIONS)), rows)


def _observers(options: Options, figures: Figures) -> str:
    rows = [
        (
            how,
            _cell(figures, f"observing.{upstream}.device", "{:.1f}"),
            _cell(figures, f"observing.{upstream}.upstream", "{:.1f}"),
        )
        for upstream, how in observers.UPSTREAMS.items()
        if figures.spread(f"observing.{upstream}.device")
    ]
    heads = (f"{options.observing:,} observing devices", "VmRSS a device, KiB", "of them upstream's side, KiB")
    return _table(heads, rows)


def _restart(options: Options, figures: Figures) -> str:
    rows = [
        (what, _cell(figures, name, form))
        for what, name, form in (
            (f"a command for each of {options.commanded:,}, until the device has acknowledged it: p50, ms", "commands.p50", "{:.2f}"),
            ("p99, ms", "commands.p99", "{:.2f}"),
            ("longest, ms", "commands.max", "{:.1f}"),
            (f"ThingsBoard restarts, {options.storm:,} devices: until all are subscribed again, s", "restart.seconds", "{:.1f}"),
            ("commands that ThingsBoard kept until then, %", "restart.kept", "{:.0f}"),
            ("commands lost", "restart.lost", "{:.0f}"),
            ("commands that came again", "restart.repeated", "{:.0f}"),
        )
        if figures.spread(name)
    ]
    return _table(("observing devices over MQTT", ""), rows)


def _flood(options: Options, figures: Figures) -> str:
    rows = []
    for name, how in (("loop", "closed loop"), ("paced", "half of that")):
        if figures.spread(f"flood.{name}.before"):
            cells = (
                ("sent", "{:,.0f}"),
                ("before", "{:,.0f}"),
                ("during", "{:,.0f}"),
                ("growth", "{:,.0f}"),
                ("new_device", "{:.2f}"),
            )
            rows.append((how, *(_cell(figures, f"flood.{name}.{part}", form) for part, form in cells)))
    heads = (
        f"{ESTABLISHED} established devices",
        "ClientHellos a second",
        "posts a second before the flood",
        "during the flood",
        "memory grew by, KiB",
        "a new device was connected after, s",
    )
    return _table(heads, rows)


def stolen(figures: Figures) -> str:
    """The table of each step's share."""
    rows = steal.rows(figures)
    return f"{steal.MEANING}\n\n{_table(('', 'stolen'), rows)}" if rows else steal.NOT_KNOWN


def _conditions(options: Options) -> str:
    raised = ", ".join(f"`limits.{key}` = {value}" for key, value in servers.RAISED.items())
    lines = [
        f"For handshakes: {raised}. Otherwise the gateway's defaults, but for `limits.sessions` beyond 100,000 sessions. Sessions come from {ADDRESSES}, so that the limit "
        "for one address is not reached.",
        f"The driver's DTLS: `{options.dtls or REQUESTS}` for requests and the new device, "
        f"`{options.dtls or HANDSHAKES}` for handshakes, with AES-128-GCM and P-256; `own` for resumption, suites, other ports "
        "and sessions of DTLS 1.2; `dimpl` for those of 1.3. `webrtc` is webrtc-dtls with DTLS 1.2, which has nothing in common "
        "with the gateway; `own` is the client of the gateway's own engine, which verifies nothing; `dimpl` is its library for "
        "DTLS 1.3. All servers of a comparison have the same driver.",
        f"A post is `{PAYLOAD}`; a GET is of libcoap's `/`, a constant text. `coap-server-*` demand and verify a "
        "client's certificate (`-C`), as the gateway does. Each device has a certificate and a token of its own.",
        "The direct post is made by `hyper`'s client, with as many tasks as there are sessions, each with a connection. "
        "Driver, sink and gateway share all cores, except for handshakes, where the server has a core of its own.",
        "HTTP and MQTT are compared with the simulator of ThingsBoard, which speaks both: it costs more than the sink. "
        "`relay.max_polls` is raised to the number of observing devices. MQTT's TLS is terminated by a process before the "
        "simulator.",
    ]
    return "\n".join(f"- {line}" for line in lines)


def _errors(figures: Figures) -> str:
    return (
        "\n".join(f"- {line}" for line in figures.errors)
        or "None: every request, handshake and session was answered."
    )


def _cell(figures: Figures, name: str, form: str) -> str:
    spread = figures.spread(name)
    return "–" if spread is None else spread.text(form)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    if not lines:
        return "Not measured."
    return "\n".join(["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads), *lines])

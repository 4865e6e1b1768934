"""Processor time that the hypervisor took from this machine while there was work to do.

Processes notice it only as lost time: a request during such a gap waits until it ends, whatever the server. So the
report has the share of each step. The kernel counts it, for all cores together, in the first line of /proc/stat.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .figures import Figures

STAT = Path("/proc/stat")
# user, nice, system, idle, iowait, irq, softirq, steal. The two after them, for guests, are included in user and nice.
COLUMNS = 8
NAME = "stolen."

MEANING = (
    "The share of the time of all cores, idle time included, that the hypervisor took while there was work for them. "
    "A request during such a gap waits for milliseconds, whatever the server. Counted from a step's start to its end, "
    "including the start of its servers and the driver's handshakes. A hypervisor may not report it: then it is 0, as "
    "without one."
)
NOT_KNOWN = "Not known: `/proc/stat` does not contain it here."


@dataclass(frozen=True)
class Ticks:
    """Processor time since the machine was started, in the kernel's ticks."""

    total: int
    stolen: int

    @staticmethod
    def now() -> Ticks | None:
        """None: not known."""
        try:
            return Ticks.of(STAT.read_text())
        except OSError:
            return None

    @staticmethod
    def of(stat: str) -> Ticks | None:
        """From /proc/stat's text; None where it has no such line, or a line of an old kernel without the column."""
        name, *columns = (stat.splitlines() or [""])[0].split() or [""]
        counted = columns[:COLUMNS]
        if name != "cpu" or len(counted) < COLUMNS or not all(column.isdecimal() for column in counted):
            return None
        ticks = [int(column) for column in counted]
        return Ticks(sum(ticks), ticks[-1])


def percent(before: Ticks | None, after: Ticks | None) -> float | None:
    """The share of the time between the two that was stolen, in percent; None: not known."""
    if before is None or after is None:
        return None
    total, stolen = after.total - before.total, after.stolen - before.stolen
    # A counter may go backwards when a machine is moved to another host; then the share is not known.
    return 100 * stolen / total if total > 0 and 0 <= stolen <= total else None


def record(figures: Figures, step: str, before: Ticks | None) -> None:
    """Records the share of a step that began at `before` and ends now."""
    share = percent(before, Ticks.now())
    if share is not None:
        figures.add({NAME + step: share})


def rows(figures: Figures) -> list[tuple[str, str]]:
    """The share of each step, in the order of the steps; empty if it is not known."""
    steps = [name for name in figures.rounds if name.startswith(NAME)]
    spreads = ((name, figures.spread(name)) for name in steps)
    return [(name[len(NAME) :], spread.text("{:.1f}", " %")) for name, spread in spreads if spread]

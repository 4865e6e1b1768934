"""Reads /proc: a process's memory and processor time, and UDP ports in use."""

from __future__ import annotations

import os
from pathlib import Path


def _kib(text: str, name: str) -> float:
    for line in text.splitlines():
        if line.startswith(name + ":"):
            return float(line.split()[1])
    raise ValueError(f"no {name} in it")


def resident(pid: int) -> float:
    """VmRSS, in KiB."""
    return _kib(Path(f"/proc/{pid}/status").read_text(), "VmRSS")


def proportional(pid: int) -> float:
    """Pss, in KiB: pages that several processes share count in parts. Takes longer to read than VmRSS.

    Only root may read the gateway's (it is not dumpable). For other users this returns VmRSS, which grows by the same.
    """
    try:
        return _kib(Path(f"/proc/{pid}/smaps_rollup").read_text(), "Pss")
    except PermissionError:
        return resident(pid)


def cpu(pid: int) -> float:
    """The processor time so far, of user and kernel together, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def listens_on_udp(port: int) -> bool:
    """Whether any process in this network namespace has bound this UDP port."""
    tables = (Path("/proc/net") / name for name in ("udp", "udp6"))
    lines = (line for table in tables if table.exists() for line in table.read_text().splitlines()[1:])
    return any(int(line.split()[1].rsplit(":", 1)[1], 16) == port for line in lines)

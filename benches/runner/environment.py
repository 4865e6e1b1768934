"""Checks before the first measurement that everything needed is installed; and describes the machine."""

from __future__ import annotations

import os
import platform
import re
import resource
import shutil
import subprocess
from pathlib import Path

from .children import Failure
from .options import ROOT, Options
from .servers import LIBCOAP
from .world import PER_DRIVER

# Open files besides one socket for each session: connections, files, sockets of the runtime.
OTHER_FILES = 1500


def prepare(options: Options) -> None:
    """Raises the limit of open files, and lists everything that is missing in one failure."""
    missing = []
    for library, program in LIBCOAP.items():
        compared = ["gets", "handshakes", *(["latency"] if library == "gnutls" else [])]
        if not set(compared).isdisjoint(options.parts) and shutil.which(program) is None:
            missing.append(
                f"{program}: apt-get install libcoap3-bin (Debian 12 or newer), or leave out {', '.join(compared)}"
            )
    if options.baseline and not options.baseline.is_file():
        missing.append(f"{options.baseline}: the program of --baseline")
    if "handshakes" in options.parts and shutil.which("taskset") is None:
        missing.append("taskset: apt-get install util-linux, or leave out handshakes")
    if options.build and shutil.which(_cargo()) is None:
        missing.append("cargo: https://rustup.rs, or --no-build where the binaries are built already")
    if not Path("/proc/self/smaps_rollup").exists():
        missing.append("/proc/self/smaps_rollup: only Linux has it, and memory is read there")
    wanted = max(options.one_driver, min(options.devices, PER_DRIVER)) + OTHER_FILES
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        missing.append(
            f"open files: the limit is {hard}, and {wanted} are needed: raise it (ulimit -Hn {wanted} as root, or "
            "LimitNOFILE), or measure with fewer devices (--idle, --storm)"
        )
    if missing:
        raise Failure("missing:\n" + "\n".join(f"  {one}" for one in missing))
    # Children inherit it: each session of the driver is a socket.
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def build(options: Options) -> None:
    """Builds the measured programs, unless --no-build was given."""
    if options.build:
        command = [_cargo(), "build", "--locked", "--profile", options.profile, "--bin", "coaps-gateway"]
        command += ["--bin", "load", "--bin", "bench", "--bin", "thingsboard-simulator"]
        # Cargo sets these variables for a test. Passed on, they would make build scripts run again, and all be rebuilt.
        package = ("CARGO_PKG_", "CARGO_MANIFEST_")
        outside = {name: value for name, value in os.environ.items() if not name.startswith(package)}
        if subprocess.run(command, cwd=ROOT, env=outside, check=False).returncode != 0:
            raise Failure("the build failed")
    for path in ("coaps-gateway", "load", "bench", "thingsboard-simulator"):
        if not (options.binaries / path).is_file():
            raise Failure(f"{options.binaries / path} does not exist: leave --no-build out")


def _cargo() -> str:
    # `cargo test` sets CARGO to the cargo that runs the test.
    return os.environ.get("CARGO", "cargo")


def machine() -> list[tuple[str, str]]:
    """The machine for which the figures hold."""
    memory = re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())
    buffer = Path("/proc/sys/net/core/rmem_max")
    return [
        ("processor", f"{_processor()}, {len(os.sched_getaffinity(0))} cores"),
        ("memory", f"{int(memory.group(1)) / 1024**2:.1f} GiB" if memory else "?"),
        ("system", f"{_distribution()}, kernel {platform.release()}, {platform.machine()}"),
        (
            "largest receive buffer",
            f"{buffer.read_text().strip()} bytes (net.core.rmem_max)" if buffer.exists() else "?",
        ),
    ]


def versions() -> list[tuple[str, str]]:
    """The versions of what was measured, and of what it was compared with."""
    commit = _first_line(["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12"])
    found = [("gateway", f"commit {commit}"), ("compiler", _first_line(["rustc", "--version"]))]
    for program in LIBCOAP.values():
        if shutil.which(program):
            # It has no option that prints its version; the usage message contains it.
            usage = _output([program, "-?"])
            found.append((program, _banner(usage)))
    found.append(("openssl", _first_line(["openssl", "version"])))
    lock = (ROOT / "Cargo.lock").read_text()
    found += [(f"crate {name}", _locked(lock, name)) for name in ("dimpl", "hyper", "hyper-util", "tokio")]
    return found


def _locked(lock: str, name: str) -> str:
    found = re.search(rf'^name = "{name}"\nversion = "(.+)"$', lock, re.MULTILINE)
    return found.group(1) if found else "none"


def _banner(usage: str) -> str:
    version = re.search(r"^coap-server-\S+ (v\S+)", usage, re.MULTILINE)
    library = re.search(r"^TLS Library: (.+)$", usage, re.MULTILINE)
    return f"{version.group(1) if version else '?'}, {library.group(1) if library else '?'}"


def _processor() -> str:
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found.group(1) if found else platform.machine()


def _distribution() -> str:
    path = Path("/etc/os-release")
    found = re.search(r'^PRETTY_NAME="?([^"\n]+)', path.read_text(), re.MULTILINE) if path.exists() else None
    return found.group(1) if found else "Linux"


def _output(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout + done.stderr


def _first_line(command: list[str]) -> str:
    return (_output(command).splitlines() or ["unknown"])[0]

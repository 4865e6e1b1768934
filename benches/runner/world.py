"""Certificates, the registry and configurations, in a directory that vanishes afterwards."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from .children import Failure
from .options import Options

# Devices that post while others do something to the gateway, and one that comes new meanwhile.
ESTABLISHED = 20
# One JSON object, as a meter would send it; the same for the gateway and for the direct post.
PAYLOAD = '{"temperature":21.5,"humidity":47}'
TOKEN = "BenchToken00000"
# A fleet comes from many addresses: a limit counts by address, and none is raised for a benchmark's sake.
ADDRESSES = "127.0.1.1-127.0.1.40"
# Whose DTLS the driver has, where nothing else is asked for. webrtc-dtls shares nothing with the gateway, and costs as
# much a request as dimpl does; a handshake costs the driver twice as much by it.
REQUESTS, HANDSHAKES = "webrtc", "dimpl-1.2"
# What devices may speak, and the driver that speaks it to a gateway with its defaults.
VERSIONS = {"1.2": "dimpl-1.2", "1.3": "dimpl"}

Limits = Mapping[str, "int | str"]


class World:
    """What every gateway and every driver of a run goes by."""

    def __init__(self, directory: Path, options: Options) -> None:
        self.directory = directory
        self.options = options
        self.certificates = directory / "certificates"
        # The driver takes every pair in a directory for a device's, so each purpose has one.
        self.fleet = directory / "fleet"
        self.established = directory / "established"
        self.newcomer = directory / "newcomer"
        self._make()

    @property
    def gateway_program(self) -> Path:
        return self.options.binaries / "coaps-gateway"

    def program(self, name: str) -> Path:
        return self.options.binaries / name

    def _make(self) -> None:
        """A certificate and a token of its own for each device: sessions of one certificate would close each other."""
        fleet = [f"device-{n:05}" for n in range(self.options.devices)]
        established = [f"established-{n:02}" for n in range(ESTABLISHED)]
        command = [str(self.gateway_program), "certs", "--out", str(self.certificates), "--host", "localhost"]
        for name in [*fleet, *established, "newcomer"]:
            command += ["--device", name]
        made = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
        if made.returncode != 0:
            raise Failure(f"no certificates: {made.stderr.strip()}")
        for directory, names in ((self.fleet, fleet), (self.established, established), (self.newcomer, ["newcomer"])):
            directory.mkdir()
            for name in names:
                for suffix in (".pem", ".key"):
                    (self.certificates / (name + suffix)).rename(directory / (name + suffix))
        entries = re.findall(r'^name = "(.+)"\nfingerprint = "(.+)"$', made.stdout, re.MULTILINE)
        if len(entries) != len(fleet) + len(established) + 1:
            raise Failure(f"`certs` told {len(entries)} devices for the registry")
        registry = "".join(
            f'[[device]]\nname = "{name}"\nfingerprint = "{fingerprint}"\ntoken = "BenchToken{number:05}"\n'
            for number, (name, fingerprint) in enumerate(entries)
        )
        (self.directory / "devices.toml").write_text(registry)

    def configuration(self, upstream: str, limits: Limits) -> Path:
        """A gateway.toml. What is not named here has its default."""
        text = f"""\
[listen]
coaps = "127.0.0.1:0"
[server]
certificate = "{self.certificates}/server.pem"
private_key = "{self.certificates}/server.key"
[clients]
trust_anchors = "{self.certificates}/ca.pem"
[devices]
file = "{self.directory}/devices.toml"
[upstream]
url = "{upstream}"
"""
        if limits:
            text += "[limits]\n" + "".join(f"{key} = {value}\n" for key, value in limits.items())
        path = self.directory / "gateway.toml"
        path.write_text(text)
        return path

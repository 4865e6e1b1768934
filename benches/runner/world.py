"""Certificates, the registry and configurations, in a directory that is removed afterwards."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from .children import Failure
from .options import Options

# Devices that post during a storm or a flood.
ESTABLISHED = 20
# A JSON object such as a meter would send; the same for the gateway and for the direct post.
PAYLOAD = '{"temperature":21.5,"humidity":47}'
TOKEN = "BenchToken00000"
# The addresses of the sessions. A fleet has many, and a limit counts by address.
ADDRESSES = "127.0.1.1-127.0.1.40"
# The driver's DTLS library, unless --dtls is given. webrtc-dtls shares nothing with the gateway; it costs the driver as
# much as dimpl for a request, and twice as much for a handshake.
REQUESTS, HANDSHAKES = "webrtc", "dimpl-1.2"
# The versions of DTLS, and the driver's library that negotiates each with a gateway that has its defaults.
VERSIONS = {"1.2": "dimpl-1.2", "1.3": "dimpl"}

Limits = Mapping[str, "int | str"]


def device_names(count: int) -> list[str]:
    """The first devices of the fleet: those that a driver with so many sessions takes."""
    return [f"device-{n:05}" for n in range(count)]


class World:
    """The files that all gateways and drivers of a run use."""

    def __init__(self, directory: Path, options: Options) -> None:
        self.directory = directory
        self.options = options
        self.certificates = directory / "certificates"
        # The driver uses every certificate in a directory, so each step's devices have one of their own.
        self.fleet = directory / "fleet"
        self.established = directory / "established"
        self.new_device = directory / "new-device"
        self._make()

    @property
    def gateway_program(self) -> Path:
        return self.options.binaries / "coaps-gateway"

    def program(self, name: str) -> Path:
        return self.options.binaries / name

    def _make(self) -> None:
        """Makes a certificate and a token for each device: sessions of the same device would close each other."""
        fleet = device_names(self.options.devices)
        established = [f"established-{n:02}" for n in range(ESTABLISHED)]
        command = [str(self.gateway_program), "certs", "--out", str(self.certificates), "--host", "localhost"]
        for name in [*fleet, *established, "new-device"]:
            command += ["--device", name]
        made = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
        if made.returncode != 0:
            raise Failure(f"`certs` failed: {made.stderr.strip()}")
        directories = ((self.fleet, fleet), (self.established, established), (self.new_device, ["new-device"]))
        for directory, names in directories:
            directory.mkdir()
            for name in names:
                for suffix in (".pem", ".key"):
                    (self.certificates / (name + suffix)).rename(directory / (name + suffix))
        entries = re.findall(r'^name = "(.+)"\nfingerprint = "(.+)"$', made.stdout, re.MULTILINE)
        if len(entries) != len(fleet) + len(established) + 1:
            raise Failure(f"`certs` printed {len(entries)} entries for the registry")
        registry = "".join(
            f'[[device]]\nname = "{name}"\nfingerprint = "{fingerprint}"\ntoken = "BenchToken{number:05}"\n'
            for number, (name, fingerprint) in enumerate(entries)
        )
        (self.directory / "devices.toml").write_text(registry)

    @property
    def tokens(self) -> dict[str, str]:
        """The access token of each device."""
        entries = re.findall(r'^name = "(.+)"\n.*\ntoken = "(.+)"$', (self.directory / "devices.toml").read_text(), re.M)
        return dict(entries)

    def configuration(self, upstream: str, limits: Limits, relay: Limits | None = None) -> Path:
        """Writes a gateway.toml with these limits; keys that are not written have their defaults."""
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
        if upstream.startswith("mqtts:"):
            text += f'ca = "{self.certificates}/ca.pem"\n'
        for section, keys in (("limits", limits), ("relay", relay)):
            if keys:
                text += f"[{section}]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items())
        path = self.directory / "gateway.toml"
        path.write_text(text)
        return path

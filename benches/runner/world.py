"""Certificates, the registry and configurations, in a directory that is removed afterwards."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .children import Failure
from .options import Options

# Devices that post during a storm or a flood.
ESTABLISHED = 20
# A JSON object such as a meter would send; the same for the gateway and for the direct post.
PAYLOAD = '{"temperature":21.5,"humidity":47}'
TOKEN = "BenchToken000000"
# The addresses of the sessions. A fleet has many, and a limit counts by address.
ADDRESSES = "127.0.1.1-127.0.1.40"
# The driver's DTLS library, unless --dtls is given. webrtc-dtls shares nothing with the gateway; the client of the gateway's
# own engine costs the driver least.
REQUESTS, HANDSHAKES = "webrtc", "own"
# The versions of DTLS, and the driver's library that negotiates each with a gateway that has its defaults.
VERSIONS = {"1.2": "own", "1.3": "dimpl"}
# What the own client offers where servers or suites are compared.
GCM = ("--suite", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256")
CCM_8 = ("--suite", "TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8")
# The most sessions of one driver where there may be several: each is an open file, and 20,000 are a usual limit.
PER_DRIVER = 15_000
# Devices whose certificates are made by one command: a command line has a largest length.
PER_COMMAND = 10_000

Limits = Mapping[str, "int | str"]


@dataclass(frozen=True)
class Stored:
    """Where a gateway stores its sessions, and the address at which its devices find it: at first any."""

    directory: Path
    address: str = "127.0.0.1:0"

    def at(self, address: str) -> Stored:
        """The same, for a gateway that takes the place of one at this address."""
        return Stored(self.directory, address)


def device_names(count: int) -> list[str]:
    """The first devices of the fleet: those that a driver with so many sessions takes."""
    return [f"device-{n:06}" for n in range(count)]


class World:
    """The files that all gateways and drivers of a run use."""

    def __init__(self, directory: Path, options: Options) -> None:
        self.directory = directory
        self.options = options
        self.certificates = directory / "certificates"
        # A driver uses the first certificates of a directory, so the devices of each driver have one of their own.
        self.fleets: list[Path] = []
        # How many devices each of them has.
        self.sizes: list[int] = []
        self.established = directory / "established"
        self.new_device = directory / "new-device"
        self._make()

    @property
    def fleet(self) -> Path:
        """The devices of a step with a single driver."""
        return self.fleets[0]

    @property
    def gateway_program(self) -> Path:
        return self.options.binaries / "coaps-gateway"

    def program(self, name: str) -> Path:
        return self.options.binaries / name

    def _make(self) -> None:
        """Makes a certificate and a token for each device: sessions of the same device would close each other."""
        fleet = device_names(self.options.devices)
        established = [f"established-{n:02}" for n in range(ESTABLISHED)]
        entries = []
        every = [*fleet, *established, "new-device"]
        for first in range(0, len(every), PER_COMMAND):
            command = [str(self.gateway_program), "certs", "--out", str(self.certificates), "--host", "localhost"]
            for name in every[first : first + PER_COMMAND]:
                command += ["--device", name]
            made = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
            if made.returncode != 0:
                raise Failure(f"`certs` failed: {made.stderr.strip()}")
            entries += re.findall(r'^name = "(.+)"\nfingerprint = "(.+)"$', made.stdout, re.MULTILINE)
        if len(entries) != len(every):
            raise Failure(f"`certs` printed {len(entries)} entries for the registry")
        first_fleet = max(self.options.one_driver, min(PER_DRIVER, len(fleet)))
        parts = [fleet[:first_fleet]]
        parts += [fleet[first : first + PER_DRIVER] for first in range(first_fleet, len(fleet), PER_DRIVER)]
        self.fleets = [self.directory / f"fleet-{number}" for number in range(len(parts))]
        self.sizes = [len(part) for part in parts]
        directories = (
            *zip(self.fleets, parts),
            (self.established, established),
            (self.new_device, ["new-device"]),
        )
        for directory, names in directories:
            directory.mkdir()
            for name in names:
                for suffix in (".pem", ".key"):
                    (self.certificates / (name + suffix)).rename(directory / (name + suffix))
        registry = "".join(
            f'[[device]]\nname = "{name}"\nfingerprint = "{fingerprint}"\ntoken = "BenchToken{number:06}"\n'
            for number, (name, fingerprint) in enumerate(entries)
        )
        (self.directory / "devices.toml").write_text(registry)

    @property
    def tokens(self) -> dict[str, str]:
        """The access token of each device."""
        entries = re.findall(r'^name = "(.+)"\n.*\ntoken = "(.+)"$', (self.directory / "devices.toml").read_text(), re.M)
        return dict(entries)

    def configuration(self, upstream: str, limits: Limits, relay: Limits | None = None, stored: Stored | None = None) -> Path:
        """Writes a gateway.toml with these limits; keys that are not written have their defaults."""
        address = stored.address if stored else "127.0.0.1:0"
        text = f"""\
[listen]
coaps = "{address}"
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
        if stored:
            text += f'[state]\ndirectory = "{stored.directory}"\n'
        path = self.directory / "gateway.toml"
        path.write_text(text)
        return path

"""The project's files and binary, for all checks."""

import os
import pathlib
import re
import subprocess
import tempfile
import tomllib
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
PREFIX = "COAPS_GATEWAY__"
# Warnings that are expected.
PLAIN_HTTP = "unencrypted to another machine"
NO_DEVICE = "there is no device in it"
NO_FILE = "the environment and the defaults are used alone"
# Of the machine that checks, not of the project.
FEW_FILES = "too few open files"
UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "KiB": 1 << 10, "MiB": 1 << 20, "Mi": 1 << 20, "Gi": 1 << 30, "G": 1 << 30, "g": 1 << 30}


def cargo_package():
    """The gateway's [package], with what it inherits from [workspace.package]."""
    manifest = tomllib.loads((ROOT / "Cargo.toml").read_text())
    shared = manifest["workspace"]["package"]
    inherited = {"workspace": True}
    return {key: shared[key] if value == inherited else value for key, value in manifest["package"].items()}


def amount(text):
    """Seconds of "30s", bytes of "64MiB" or "1Gi"."""
    number, unit = re.fullmatch(r"(\d+)\s*([A-Za-z]+)", text).groups()
    return int(number) * UNITS[unit]


def setting(key, environment, config=""):
    """The gateway's value for this key: from the environment, else from this gateway.toml, else the default."""
    section, name = key.split(".")
    from_environment = environment.get(f"{PREFIX}{section}__{name}".upper())
    shipped = (ROOT / "config/gateway.toml").read_text()
    given, defaults = (tomllib.loads(text).get(section, {}) for text in (config, shipped))
    for value in (from_environment, given.get(name), defaults.get(name)):
        if value is not None:
            return int(value) if str(value).isdigit() else value
    raise KeyError(key)


def memory(environment, config=""):
    """The gateway's resident bytes when every bound is reached; deploy/kubernetes/README.md explains the figures."""

    def bound(key):
        value = setting(key, environment, config)
        return value if isinstance(value, int) else amount(value)

    kib, mib = UNITS["KiB"], UNITS["MiB"]
    return (
        (25 + 36 + 4) * mib
        + bound("limits.sessions") * (20 * kib + 800)
        + bound("relay.max_polls") // 2 * 100 * kib
        + bound("upstream.max_in_flight") * 36 * kib
        + bound("ota.cache")
        + bound("coap.body_bytes")
        + bound("relay.bytes")
    )


def commands_of(readme, heading):
    """The indented commands below a heading of a README."""
    section = readme.read_text().split(f"\n{heading}\n", 1)[1].split("\n#", 1)[0]
    return "\n".join(line[4:] for line in section.splitlines() if line.startswith("    "))


class Case(unittest.TestCase):
    """A check with a temporary directory."""

    maxDiff = None

    def setUp(self):
        self.directory = self.fresh_directory(self.addCleanup)

    @staticmethod
    def fresh_directory(add_cleanup):
        temporary = tempfile.TemporaryDirectory()
        add_cleanup(temporary.cleanup)
        return pathlib.Path(temporary.name)

    def run_ok(self, command, **more):
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, **more)
        self.assertEqual(done.returncode, 0, f"{command}\n{done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def make_certificates(self, directory):
        self.run_ok([os.environ["GATEWAY"], "certs", "--out", directory, "--host", "gateway.example"])

    def check_configuration(self, arguments, environment, cwd, warnings=()):
        """Asserts that the gateway reports no mistake in this configuration, and only these warnings."""
        output = self.run_ok([os.environ["GATEWAY"], *map(str, arguments)], env=environment, cwd=cwd)
        self.assertIn("The configuration is fine.", output)
        for line in output.splitlines():
            if line.startswith("warning"):
                self.assertTrue(any(known in line for known in (*warnings, FEW_FILES)), line)
        return output

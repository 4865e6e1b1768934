"""deploy/systemd: systemd's own checks of the unit, and that its values agree with the gateway's."""

import os
import re
import shutil

from project import DEPLOY, NO_DEVICE, ROOT, Case, amount, memory, setting

SYSTEMD = DEPLOY / "systemd"
UNIT = "coaps-gateway.service"
BINARY = "/usr/local/bin/coaps-gateway"
ETC = "/etc/coaps-gateway"
# What %S is for a system's unit.
STATE = "/var/lib"


def directives(*files):
    """The values of each directive, as systemd accumulates them: an empty value clears those before it."""
    found = {}
    for file in files:
        for line in file.read_text().splitlines():
            if re.match(r"[A-Za-z]+=", line):
                name, value = line.split("=", 1)
                found.setdefault(name, [])
                found[name] = found[name] + [value] if value else []
    return found


def environment(unit, credentials):
    pairs = (value.replace("%d", str(credentials)).replace("%S", STATE) for value in unit["Environment"])
    return dict(pair.split("=", 1) for pair in pairs)


class Systemd(Case):
    def setUp(self):
        super().setUp()
        self.unit = directives(SYSTEMD / UNIT)
        self.in_place = directives(SYSTEMD / UNIT, SYSTEMD / "key-in-place.conf")

    def only(self, name):
        (value,) = self.unit[name]
        return value

    def installed(self, *drop_ins):
        """A copy of the unit with the path of this build's binary, because systemd checks that it exists."""
        unit = self.directory / UNIT
        unit.write_text((SYSTEMD / UNIT).read_text().replace(BINARY, os.environ["GATEWAY"]))
        for name in drop_ins:
            (self.directory / f"{UNIT}.d").mkdir(exist_ok=True)
            shutil.copy(SYSTEMD / name, self.directory / f"{UNIT}.d")
        return unit

    def test_systemd_verifies_the_unit(self):
        for drop_ins in ((), ("key-in-place.conf",)):
            output = self.run_ok(["systemd-analyze", "verify", "--man=no", self.installed(*drop_ins)])
            # It may also report other units of this machine.
            ours = [line for line in output.splitlines() if "coaps-gateway" in line or "key-in-place" in line]
            self.assertEqual(ours, [])

    def test_systemd_verify_fails_for_an_unknown_directive(self):
        # Otherwise the test above would prove nothing.
        unit = self.installed()
        unit.write_text(unit.read_text().replace("ProtectHome=yes", "ProtectHme=yes"))
        with self.assertRaisesRegex(AssertionError, "ProtectHme"):
            output = self.run_ok(["systemd-analyze", "verify", "--man=no", unit])
            self.assertNotIn("ProtectHme", output)

    def test_the_exposure_is_below_2(self):
        output = self.run_ok(["systemd-analyze", "security", "--offline=yes", "--no-pager", self.installed()])
        exposure = float(re.search(r"Overall exposure level for \S+: ([\d.]+)", output).group(1))
        self.assertGreater(exposure, 0)
        self.assertLess(exposure, 2)
        readme = (DEPLOY / "README.md").read_text()
        self.assertTrue(f"(exposure {exposure})" in readme, f"README.md should say {exposure}")

    def test_mistakes_are_reported_before_a_start_and_before_a_reload(self):
        check = f"{BINARY} check --config {ETC}/gateway.toml"
        self.assertEqual(self.only("ExecStartPre"), check)
        self.assertEqual(self.unit["ExecReload"], [check, "/bin/kill -HUP $MAINPID"])
        self.assertEqual(self.only("ExecStart"), check.replace(" check ", " run "))
        self.assertEqual(self.only("Restart"), "on-failure")

    def test_systemd_waits_longer_than_the_drain(self):
        variables = environment(self.unit, "")
        drain = amount(setting("shutdown.drain", variables))
        self.assertGreater(drain, amount(setting("relay.poll_timeout", variables)))
        # For connections over MQTT, and for the disk.
        self.assertGreater(amount(self.only("TimeoutStopSec")), drain + 2 + 10)

    def test_the_open_files_limit_covers_every_connection(self):
        wanted = setting("upstream.max_in_flight", {}) + setting("relay.max_polls", {}) * 9 // 8 + 160
        over_mqtt = setting("upstream.max_connections", {}) + 64
        both = over_mqtt + setting("upstream.max_in_flight", {}) + 32
        self.assertGreaterEqual(int(self.only("LimitNOFILE")), max(wanted, both))
        text = (SYSTEMD / UNIT).read_text()
        self.assertIn(f"and 160: {wanted:,}.", text)
        self.assertIn(f"and 64: {over_mqtt:,};", text)

    def test_the_memory_limit_covers_all_bounds(self):
        config = (SYSTEMD / "gateway.toml").read_text()
        self.assertLess(memory(environment(self.unit, ""), config), 0.8 * amount(self.only("MemoryMax")))

    def test_sessions_are_stored_where_the_service_alone_may_read_and_write(self):
        directory = environment(self.unit, "")["COAPS_GATEWAY__STATE__DIRECTORY"]
        self.assertEqual(directory, f"{STATE}/{self.only('StateDirectory')}")
        self.assertEqual(self.only("StateDirectoryMode"), "0700")
        self.assertEqual(self.only("ProtectSystem"), "strict")

    def test_the_private_key_is_a_credential(self):
        name, path = self.only("LoadCredential").split(":")
        self.assertEqual(path, f"{ETC}/server.key")
        variables = environment(self.unit, "/credentials")
        self.assertEqual(variables["COAPS_GATEWAY__SERVER__PRIVATE_KEY"], f"/credentials/{name}")
        self.assertEqual(self.in_place["LoadCredential"], [])

    def test_sysusers_creates_the_user(self):
        output = self.run_ok(
            ["systemd-sysusers", "--dry-run", f"--root={self.directory}", SYSTEMD / "coaps-gateway.sysusers"]
        )
        self.assertIn("coaps-gateway", output)
        kind, name, *_ = (SYSTEMD / "coaps-gateway.sysusers").read_text().splitlines()[1].split()
        self.assertEqual((kind, name), ("u", self.only("User")))
        self.assertEqual(self.only("Group"), self.only("User"))

    def test_the_gateway_accepts_its_configuration(self):
        for unit in (self.unit, self.in_place):
            etc, credentials = self.directory / "etc", self.directory / "credentials"
            shutil.rmtree(etc, ignore_errors=True)
            shutil.rmtree(credentials, ignore_errors=True)
            self.make_certificates(etc)
            credentials.mkdir()
            for pair in unit["LoadCredential"]:
                name, path = pair.split(":")
                # Moved, not copied: the service can't read the original.
                (etc / path.removeprefix(f"{ETC}/")).rename(credentials / name)
            config = (SYSTEMD / "gateway.toml").read_text().replace(ETC, str(etc))
            (etc / "gateway.toml").write_text(config)
            shutil.copy(ROOT / "config/devices.toml", etc)
            (etc / "devices.toml").chmod(0o640)
            state = self.directory / "state"
            variables = {
                name: value.replace(ETC, str(etc)).replace(STATE, str(state))
                for name, value in environment(unit, credentials).items()
            }
            _, *arguments = unit["ExecStartPre"][0].replace(ETC, str(etc)).split()
            output = self.check_configuration(arguments, variables, etc, [NO_DEVICE])
            self.assertIn(f"{state}/coaps-gateway: no key yet", output)

    def test_the_readme_installs_every_file(self):
        readme = (DEPLOY / "README.md").read_text()
        for path in SYSTEMD.iterdir():
            self.assertIn(f"deploy/systemd/{path.name}", readme)

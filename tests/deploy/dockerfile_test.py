"""deploy/Dockerfile, without a container engine: checks what could make a build fail."""

import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import time
import tomllib

from dockerfile_parse import DockerfileParser

from project import DEPLOY, NO_DEVICE, NO_FILE, ROOT, Case, cargo_package

BINARY = "/usr/local/bin/coaps-gateway"


def stages():
    """The build stages, each a list of (instruction, value) that begins with its FROM."""
    with open(DEPLOY / "Dockerfile", "rb") as file:
        structure = DockerfileParser(fileobj=file).structure
    found = []
    for step in structure:
        if step["instruction"] == "FROM":
            found.append([])
        if step["instruction"] != "COMMENT":
            found[-1].append((step["instruction"], step["value"]))
    return found


def all_of(stage, instruction):
    return [value for name, value in stage if name == instruction]


class Dockerfile(Case):
    def setUp(self):
        super().setUp()
        self.build, self.simulator, self.final = stages()

    def only(self, instruction):
        (value,) = all_of(self.final, instruction)
        return value

    def test_base_images_are_pinned_and_of_one_debian(self):
        build, name = re.fullmatch(r"rust:(\S+) AS (\S+)", all_of(self.build, "FROM")[0]).groups()
        version, _, debian = build.split("-")
        self.assertEqual(name, "build")
        wanted = cargo_package()["rust-version"]
        self.assertGreaterEqual(*([int(part) for part in v.split(".")] for v in (version, wanted)))
        # Debian 12 has glibc 2.36; a binary linked with a newer one does not start.
        self.assertEqual(debian, "bookworm")
        self.assertEqual(self.only("FROM"), "gcr.io/distroless/cc-debian12:nonroot")

    def test_the_final_stage_needs_no_shell(self):
        self.assertEqual(all_of(self.final, "RUN"), [])
        health = re.fullmatch(r"(?s).*\bCMD\s+(\[.*\])", self.only("HEALTHCHECK")).group(1)
        self.assertEqual(json.loads(health), [BINARY, "healthcheck"])
        self.assertEqual(json.loads(self.only("ENTRYPOINT")), [BINARY])
        self.assertEqual(json.loads(self.only("CMD")), ["run"])

    def test_it_runs_as_a_numeric_user_other_than_root_and_stops_by_sigterm(self):
        user, group = self.only("USER").split(":")
        self.assertGreater(int(user), 0)
        self.assertGreater(int(group), 0)
        self.assertEqual(self.only("STOPSIGNAL"), "SIGTERM")
        self.assertEqual(self.only("EXPOSE").split(), ["5684/udp", "9684/tcp"])

    def test_the_entry_point_is_the_binary_that_was_built(self):
        (run,) = all_of(self.build, "RUN")
        self.assertIn("cargo build --release --locked --bin coaps-gateway --bin thingsboard-simulator", run)
        self.assertIn("target/release/coaps-gateway /out/coaps-gateway", run)
        for cache in ("/usr/local/cargo/registry", "/src/target"):
            self.assertIn(f"--mount=type=cache,target={cache}", run)
        binary, state = all_of(self.final, "COPY")
        self.assertEqual(binary, f"--from=build /out/coaps-gateway {BINARY}")
        # The user can't create files elsewhere, and a copied directory's own owner is that of what it is copied into.
        self.assertIn("install -d -m 0700 /out/var/lib/coaps-gateway", run)
        self.assertEqual(state, f"--from=build --chown={self.only('USER')} /out/var/lib /var/lib")

    def test_the_simulators_entry_point_is_the_binary_that_was_built(self):
        (run,) = all_of(self.build, "RUN")
        self.assertIn("target/release/thingsboard-simulator /out/thingsboard-simulator", run)
        binary = "/usr/local/bin/thingsboard-simulator"
        self.assertEqual(all_of(self.simulator, "COPY"), [f"--from=build /out/thingsboard-simulator {binary}"])
        self.assertEqual(all_of(self.simulator, "FROM"), [f"{self.only('FROM')} AS simulator"])
        self.assertEqual(json.loads(*all_of(self.simulator, "ENTRYPOINT")), [binary])
        self.assertEqual(all_of(self.simulator, "USER"), [self.only("USER")])

    def test_the_label_has_the_version_of_cargo_toml(self):
        self.assertEqual(self.only("ARG"), f"VERSION={cargo_package()['version']}")
        self.assertIn('org.opencontainers.image.version="${VERSION}"', self.only("LABEL"))

    def admitted(self):
        """The names that .dockerignore includes in the build context."""
        text = (ROOT / ".dockerignore").read_text()
        lines = [line for line in text.splitlines() if line and not line.startswith("#")]
        self.assertEqual(lines[0], "*", "everything is excluded first")
        for line in lines[1:]:
            self.assertRegex(line, r"^![A-Za-z.]+$", "then whole names are included")
        return {line[1:] for line in lines[1:]}

    def test_the_build_context_is_exactly_what_is_copied(self):
        copied = {source for value in all_of(self.build, "COPY") for source in value.split()[:-1]}
        self.assertEqual(self.admitted(), copied)
        for name in copied:
            self.assertTrue((ROOT / name).exists(), name)
        self.assertFalse(copied & {"certs", "target", "deploy", ".git"})

    def test_the_copied_files_are_complete_packages(self):
        src = self.directory / "src"
        for value in all_of(self.build, "COPY"):
            *sources, into = value.split()
            for source in sources:
                to = src / into / (source if into == "./" else "")
                to.parent.mkdir(parents=True, exist_ok=True)
                copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
                copy(ROOT / source, to)
        # `cargo metadata` checks that the lock file is complete, and prints the path of each target. Only for this
        # platform, because crates for others are not downloaded.
        platform = re.search(r"(?m)^host: (\S+)$", self.run_ok(["rustc", "-vV"])).group(1)
        output = subprocess.run(
            ["cargo", "metadata", "--locked", "--offline", "--filter-platform", platform, "--format-version", "1"],
            cwd=src, capture_output=True, text=True,
        )
        self.assertEqual(output.returncode, 0, output.stderr)
        metadata = json.loads(output.stdout)
        members = [one for one in metadata["packages"] if one["id"] in metadata["workspace_members"]]
        (package,) = [one for one in members if one["name"] == "coaps-gateway"]
        for target in (target for one in members if one is not package for target in one["targets"]):
            self.assertTrue(pathlib.Path(target["src_path"]).exists(), target["src_path"])
        found = {one["name"] for one in package["targets"] if pathlib.Path(one["src_path"]).exists()}
        manifest = tomllib.loads((ROOT / "Cargo.toml").read_text())
        wanted = {one["name"] for kind in ("bin", "test", "bench") for one in manifest[kind]}
        self.assertGreater(len(wanted), 1)
        self.assertLessEqual(wanted, found)
        included = 0
        for path in (src / "src").rglob("*.rs"):
            for name in re.findall(r'include_(?:str|bytes)!\(\s*"([^"]+)"', path.read_text()):
                self.assertTrue((path.parent / name).exists(), f"{path.relative_to(src)} includes {name}")
                included += 1
        self.assertGreater(included, 0)

    def variables(self):
        """The image's environment variables, for a gateway in a directory that has the files that would be mounted."""
        self.make_certificates(self.directory / "certs")
        os.mkdir(self.directory / "config")
        shutil.copy(ROOT / "config/devices.toml", self.directory / "config")
        os.chmod(self.directory / "config/devices.toml", 0o600)
        return dict(value.split("=", 1) for value in all_of(self.final, "ENV"))

    def test_the_gateway_knows_the_variables_it_sets(self):
        variables = self.variables()
        self.assertIn("COAPS_GATEWAY__LISTEN__ADMIN", variables, "the health check connects to this address")
        self.check_configuration(["check"], variables, self.directory, [NO_FILE, NO_DEVICE])

    def test_a_running_gateway_is_healthy_and_an_ended_one_is_not(self):
        variables = self.variables()
        # With free ports instead of the image's.
        with socket.create_server(("127.0.0.1", 0)) as free:
            variables["COAPS_GATEWAY__LISTEN__ADMIN"] = "127.0.0.1:%d" % free.getsockname()[1]
        variables["COAPS_GATEWAY__LISTEN__COAPS"] = "127.0.0.1:0"
        # The health check must work at the highest log level, too.
        variables["COAPS_GATEWAY__LOG__LEVEL"] = "error"
        started = {"cwd": self.directory, "env": variables, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}

        def health():
            return subprocess.run([os.environ["GATEWAY"], "healthcheck"], **started, timeout=10)

        with subprocess.Popen([os.environ["GATEWAY"], "run"], **started) as gateway:
            try:
                until = time.monotonic() + 20
                while health().returncode != 0 and gateway.poll() is None and time.monotonic() < until:
                    time.sleep(0.1)
                output = health()
                self.assertEqual(output.returncode, 0, output.stdout)
                gateway.send_signal(getattr(signal, self.only("STOPSIGNAL")))
                self.assertEqual(gateway.wait(20), 0)
            finally:
                gateway.kill()
        self.assertEqual(health().returncode, 1)

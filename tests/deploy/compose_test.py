"""deploy/compose.yaml: its schema, and that its services agree with each other and with the gateway."""

import json
import os
import re
import shutil

import jsonschema
import yaml

from project import DEPLOY, NO_DEVICE, PLAIN_HTTP, ROOT, Case, amount, cargo_package, memory, setting


def filled(text, variables):
    """The text with variables substituted; ${NAME:-default} is the only form that the file has."""
    def value(found):
        return variables.get(found.group(1)) or found.group(2)

    text = re.sub(r"\$\{([A-Z_]+):-([^}]*)\}", value, text)
    assert "$" not in text, "a variable without a default"
    return text


class Compose(Case):
    def setUp(self):
        super().setUp()
        self.text = (DEPLOY / "compose.yaml").read_text()
        self.compose = yaml.safe_load(filled(self.text, {}))
        self.services = self.compose["services"]
        self.gateway = self.services["gateway"]

    def test_it_conforms_to_the_schema(self):
        with open(os.environ["COMPOSE_SCHEMA"]) as file:
            schema = json.load(file)
        # This version of the schema does not have the project's name yet.
        self.assertEqual(self.compose.pop("name"), "coaps-gateway")
        jsonschema.Draft201909Validator(schema).validate(self.compose)

    def test_every_variable_is_explained(self):
        used = set(re.findall(r"\$\{([A-Z_]+)", self.text))
        self.assertEqual(used, {"GATEWAY_USER", "POSTGRES_PASSWORD", "THINGSBOARD_HTTP", "UPSTREAM_URL"})
        explained = self.text.split("name:")[0]
        for name in used:
            self.assertIn(name, explained)

    def test_images_are_pinned(self):
        for name, service in self.services.items():
            self.assertRegex(service["image"], r"^[a-z/-]+:\d[\d.]*$", name)
        self.assertEqual(self.gateway["image"], f"coaps-gateway:{cargo_package()['version']}")

    def test_the_gateway_is_built_from_the_dockerfile(self):
        build = self.gateway["build"]
        context = (DEPLOY / build["context"]).resolve()
        self.assertEqual(context, ROOT)
        self.assertTrue((context / build["dockerfile"]).is_file())

    def test_services_have_health_checks_and_start_after_those_they_need(self):
        for name, service in self.services.items():
            self.assertIn(service["healthcheck"]["test"][0], ("CMD",), name)
            self.assertEqual(service["restart"], "unless-stopped")
        self.assertEqual(self.services["thingsboard"]["depends_on"], {"postgres": {"condition": "service_healthy"}})
        self.assertEqual(self.gateway["depends_on"], {"thingsboard": {"condition": "service_started"}})
        self.assertEqual(self.gateway["healthcheck"]["test"][1:], ["/usr/local/bin/coaps-gateway", "healthcheck"])

    def test_networks_and_volumes_are_declared_and_used(self):
        for kind in ("networks", "volumes"):
            used = set()
            for service in self.services.values():
                used |= {one.split(":")[0] for one in service.get(kind, []) if not one.startswith(".")}
            self.assertEqual(used, set(self.compose[kind]), kind)

    def test_only_thingsboard_reaches_the_database(self):
        postgres, thingsboard = self.services["postgres"], self.services["thingsboard"]
        self.assertNotIn("ports", postgres)
        self.assertEqual(postgres["networks"], ["storage"])
        self.assertTrue(self.compose["networks"]["storage"]["internal"])
        self.assertNotIn("storage", self.gateway["networks"])
        environment = thingsboard["environment"]
        database = postgres["environment"]["POSTGRES_DB"]
        self.assertEqual(environment["SPRING_DATASOURCE_URL"], f"jdbc:postgresql://postgres:5432/{database}")
        with_password = yaml.safe_load(filled(self.text, {"POSTGRES_PASSWORD": "another"}))["services"]
        for service, name in (("postgres", "POSTGRES_PASSWORD"), ("thingsboard", "SPRING_DATASOURCE_PASSWORD")):
            self.assertEqual(with_password[service]["environment"][name], "another")

    def test_only_the_gateway_is_published_to_devices(self):
        self.assertEqual(self.gateway["ports"], ["5684:5684/udp", "127.0.0.1:9684:9684"])
        # ThingsBoard's web pages are on the same port as its HTTP API for devices: published on loopback only.
        self.assertEqual(self.services["thingsboard"]["ports"], ["127.0.0.1:8080:8080"])
        for protocol in ("COAP", "LWM2M"):
            self.assertEqual(self.services["thingsboard"]["environment"][f"{protocol}_ENABLED"], "false")
        shared = set(self.gateway["networks"]) & set(self.services["thingsboard"]["networks"])
        self.assertEqual(self.gateway["environment"]["COAPS_GATEWAY__UPSTREAM__URL"], "http://thingsboard:8080")
        self.assertTrue(shared, "the gateway must resolve ThingsBoard's name")

    def test_the_gateway_has_no_unneeded_privileges(self):
        self.assertTrue(self.gateway["read_only"])
        self.assertEqual(self.gateway["cap_drop"], ["ALL"])
        self.assertEqual(self.gateway["security_opt"], ["no-new-privileges:true"])
        self.assertNotEqual(self.gateway["user"].split(":")[0], "0")

    def test_the_memory_limit_covers_all_bounds(self):
        self.assertLess(memory(self.gateway["environment"]), 0.8 * amount(self.gateway["mem_limit"]))

    def test_one_variable_changes_over_to_mqtt_and_open_files_are_enough(self):
        url = re.search(r"UPSTREAM_URL \((\S+) for MQTT\)", self.text).group(1)
        gateway = yaml.safe_load(filled(self.text, {"UPSTREAM_URL": url}))["services"]["gateway"]
        self.assertEqual(gateway["environment"]["COAPS_GATEWAY__UPSTREAM__URL"], "mqtt://thingsboard:1883")
        self.assertIn(f"UPSTREAM_URL={url}", (DEPLOY / "README.md").read_text())
        connections = setting("upstream.max_connections", gateway["environment"])
        self.assertGreaterEqual(gateway["ulimits"]["nofile"], connections + 64)

    def test_the_stop_grace_period_exceeds_the_drain(self):
        variables = self.gateway["environment"]
        drain = amount(setting("shutdown.drain", variables))
        self.assertGreater(drain, amount(setting("relay.poll_timeout", variables)))
        # For connections over MQTT, and for the disk.
        self.assertGreater(amount(self.gateway["stop_grace_period"]), drain + 2 + 10)

    def test_the_gateway_accepts_its_configuration(self):
        # The project's directories are mounted below the image's working directory.
        workdir = re.search(r"(?m)^WORKDIR (/etc/.*)$", (DEPLOY / "Dockerfile").read_text()).group(1)
        *mounted, state = self.gateway["volumes"]
        for volume in mounted:
            source, path, mode = volume.split(":")
            self.assertEqual(mode, "ro")
            source = (DEPLOY / source).resolve()
            self.assertTrue(source.is_dir(), f"{source}: a mounted file does not follow its replacement")
            inside = self.directory / os.path.relpath(path, workdir)
            if source.name == "certs":
                self.make_certificates(inside)
            else:
                shutil.copytree(source, inside)
        (self.directory / "config/devices.toml").chmod(0o600)
        # The only directory that it may write to.
        source, path = state.split(":")
        variables = dict(self.gateway["environment"])
        self.assertEqual(variables["COAPS_GATEWAY__STATE__DIRECTORY"], path)
        self.assertIn(f"mkdir -p -m 0700 {source.removeprefix('../')}\n", (DEPLOY / "README.md").read_text())
        self.assertIn(f"/{source.removeprefix('../')}", (ROOT / ".gitignore").read_text().split())
        variables["COAPS_GATEWAY__STATE__DIRECTORY"] = str(self.directory / "state")
        self.check_configuration(["check"], variables, self.directory, [PLAIN_HTTP, NO_DEVICE])

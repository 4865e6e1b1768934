"""deploy/compose.yaml: its schema, and that its services fit each other and the gateway."""

import json
import os
import re
import shutil

import jsonschema
import yaml

from project import DEPLOY, NO_DEVICE, PLAIN_HTTP, ROOT, Case, amount, cargo_package, memory, setting


def filled(text, variables):
    """With ${NAME:-default} filled in, the only form that is used."""
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

    def test_it_is_of_the_schema(self):
        with open(os.environ["COMPOSE_SCHEMA"]) as file:
            schema = json.load(file)
        # The project's name came to the schema after this one.
        self.assertEqual(self.compose.pop("name"), "coaps-gateway")
        jsonschema.Draft201909Validator(schema).validate(self.compose)

    def test_variables_are_the_ones_that_are_explained(self):
        used = set(re.findall(r"\$\{([A-Z_]+)", self.text))
        self.assertEqual(used, {"GATEWAY_USER", "POSTGRES_PASSWORD", "THINGSBOARD_HTTP"})
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

    def test_each_service_says_how_it_is_and_waits_for_what_it_needs(self):
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

    def test_the_database_is_thingsboards_alone(self):
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

    def test_the_gateway_is_the_only_way_in_for_devices(self):
        self.assertEqual(self.gateway["ports"], ["5684:5684/udp", "127.0.0.1:9684:9684"])
        # The pages for people, on loopback: devices' HTTP is there as well.
        self.assertEqual(self.services["thingsboard"]["ports"], ["127.0.0.1:8080:8080"])
        for protocol in ("COAP", "LWM2M"):
            self.assertEqual(self.services["thingsboard"]["environment"][f"{protocol}_ENABLED"], "false")
        shared = set(self.gateway["networks"]) & set(self.services["thingsboard"]["networks"])
        self.assertEqual(self.gateway["environment"]["COAPS_GATEWAY__UPSTREAM__URL"], "http://thingsboard:8080")
        self.assertTrue(shared, "or it could not reach ThingsBoard by its name")

    def test_the_gateway_has_no_rights_it_does_not_need(self):
        self.assertTrue(self.gateway["read_only"])
        self.assertEqual(self.gateway["cap_drop"], ["ALL"])
        self.assertEqual(self.gateway["security_opt"], ["no-new-privileges:true"])
        self.assertNotEqual(self.gateway["user"].split(":")[0], "0")

    def test_memory_holds_what_the_bounds_allow(self):
        self.assertLess(memory(self.gateway["environment"]), 0.8 * amount(self.gateway["mem_limit"]))

    def test_it_is_given_longer_to_stop_than_the_drain_takes(self):
        variables = self.gateway["environment"]
        drain = amount(setting("shutdown.drain", variables))
        self.assertGreater(drain, amount(setting("relay.poll_timeout", variables)))
        self.assertGreater(amount(self.gateway["stop_grace_period"]), drain + 5)

    def test_the_gateway_reads_what_it_is_given(self):
        # As mounted: directories of the project, below the image's working directory.
        workdir = re.search(r"(?m)^WORKDIR (/etc/.*)$", (DEPLOY / "Dockerfile").read_text()).group(1)
        for volume in self.gateway["volumes"]:
            source, path, mode = volume.split(":")
            self.assertEqual(mode, "ro")
            source = (DEPLOY / source).resolve()
            self.assertTrue(source.is_dir(), f"{source}: a file would stay the old one when it is replaced")
            inside = self.directory / os.path.relpath(path, workdir)
            if source.name == "certs":
                self.make_certificates(inside)
            else:
                shutil.copytree(source, inside)
        (self.directory / "config/devices.toml").chmod(0o600)
        self.gateway_reads(["check"], self.gateway["environment"], self.directory, [PLAIN_HTTP, NO_DEVICE])

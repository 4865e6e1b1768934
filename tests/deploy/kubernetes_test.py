"""deploy/kubernetes, as kustomize renders it: schemas, and that each name refers to something."""

import base64
import functools
import os
import pathlib
import re
import shutil
import subprocess

import kubernetes_validate
import yaml

from project import DEPLOY, NO_FILE, PLAIN_HTTP, ROOT, Case, amount, cargo_package, commands_of, memory, setting

KUBERNETES = DEPLOY / "kubernetes"
OVERLAYS = ("gateway", "monitored", "mqtt", "stored", "replicas", "sidecar")
ETC = "/etc/coaps-gateway"
# What README.md has a user put into the Secret that no file makes.
GROUP = {"url": "rediss://gateway:PASSWORD@redis.redis.svc:6379", "key": "00" * 32}
VERSIONS = ("1.33", "1.34", "1.35", "1.36", "1.37")


def containers(workload):
    return {one["name"]: one for one in workload["spec"]["template"]["spec"]["containers"]}


def environment(container):
    """The environment variables that the kubelet would set for a pod with the address 127.0.0.1."""
    found = {}
    for variable in container["env"]:
        value = variable.get("value")
        if value is None:
            ((source, what),) = variable["valueFrom"].items()
            if source == "secretKeyRef":
                assert what["name"] == "coaps-gateway-group", variable
                value = GROUP[what["key"]]
            else:
                assert (source, what) == ("fieldRef", {"fieldPath": "status.podIP"}), variable
                value = "127.0.0.1"
        # A variable can only refer to earlier ones.
        found[variable["name"]] = re.sub(r"\$\((\w+)\)", lambda name: found[name.group(1)], value)
    return found


def workload_of(documents):
    (found,) = [one for one in documents if one["kind"] in ("Deployment", "StatefulSet")]
    return found


def selects(selector, labels):
    return bool(selector) and selector.items() <= labels.items()


def of_each_gateway(check):
    """Runs a check with the rendered documents, the Deployment and the gateway's container: alone, and as a sidecar."""

    @functools.wraps(check)
    def of_both(self):
        for overlay, name in (("gateway", "gateway"), ("mqtt", "gateway"), ("sidecar", "coaps-gateway")):
            documents = self.render(overlay)
            workload = self.of_kind(documents, "Deployment")
            with self.subTest(overlay):
                check(self, documents, workload, containers(workload)[name])

    return of_both


def kustomize(kubernetes, overlay):
    return subprocess.run(
        [os.environ["KUBECTL"], "kustomize", kubernetes / "overlays" / overlay],
        capture_output=True, text=True, timeout=60,
    )


class Kubernetes(Case):
    @classmethod
    def setUpClass(cls):
        """Makes a copy whose site/ is filled as the README describes, and renders it with kustomize."""
        directory = cls.fresh_directory(cls.addClassCleanup)
        cls.kubernetes = directory / "deploy/kubernetes"
        # Without files that a developer may have put there for a real site.
        shutil.copytree(KUBERNETES, cls.kubernetes, ignore=shutil.ignore_patterns("*.pem", "*.key", "devices.toml"))
        shutil.copytree(ROOT / "config", directory / "config")
        (directory / "bin").mkdir()
        (directory / "bin/coaps-gateway").symlink_to(os.environ["GATEWAY"])
        path = f"{directory}/bin:{os.environ['PATH']}"
        commands = commands_of(KUBERNETES / "README.md", "## What is yours").split("\nkubectl apply")[0]
        cls().run_ok(["bash", "-euo", "pipefail", "-c", commands], cwd=directory, env={**os.environ, "PATH": path})
        cls.rendered = {overlay: cls().rendering(cls.kubernetes, overlay) for overlay in OVERLAYS}

    def rendering(self, kubernetes, overlay):
        done = kustomize(kubernetes, overlay)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stderr, "", "kustomize prints no warning")
        return list(yaml.safe_load_all(done.stdout))

    def render(self, overlay):
        return self.rendered[overlay]

    def changeable(self):
        return pathlib.Path(shutil.copytree(self.kubernetes, self.directory / "kubernetes"))

    def of_kind(self, documents, kind, name=None):
        found = [one for one in documents if one["kind"] == kind]
        found = [one for one in found if name is None or one["metadata"]["name"] == name]
        self.assertEqual(len(found), 1, f"{kind} {name}")
        return found[0]

    def config(self, documents):
        maps = [one for one in documents if one["kind"] == "ConfigMap" and "gateway.toml" in one["data"]]
        return maps[0]["data"]["gateway.toml"] if maps else ""

    def test_every_object_conforms_to_its_schema(self):
        kinds = set()
        for overlay in OVERLAYS:
            for document in self.render(overlay):
                kinds.add(document["kind"])
                if document["kind"] == "ServiceMonitor":
                    continue  # Not a Kubernetes kind, but of Prometheus' operator: see below.
                for version in VERSIONS:
                    with self.subTest(overlay, kind=document["kind"], version=version):
                        kubernetes_validate.validate(document, version, strict=True)
        wanted = "Deployment StatefulSet Service ConfigMap Secret PodDisruptionBudget NetworkPolicy ServiceMonitor Namespace"
        self.assertEqual(kinds, set(wanted.split()))

    def test_every_file_is_used(self):
        for path in KUBERNETES.rglob("*"):
            if path.suffix not in (".yaml", ".toml") or path.name == "kustomization.yaml":
                continue
            if path.parent.name == "site":
                continue
            listing = (path.parent / "kustomization.yaml").read_text()
            self.assertIn(f" {path.name}\n", listing, path)

    def test_kustomize_fails_if_a_file_of_the_site_is_missing(self):
        kubernetes = self.changeable()
        for name in ("server.pem", "server.key", "devices.toml", "ca.pem"):
            path = kubernetes / "site" / name
            path.rename(path.with_suffix(".gone"))
            done = kustomize(kubernetes, "gateway")
            path.with_suffix(".gone").rename(path)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(name, done.stderr)

    def test_git_ignores_the_files_of_a_site(self):
        listed = (KUBERNETES / "site/.gitignore").read_text().split()
        self.assertEqual(listed, ["*", "!.gitignore", "!kustomization.yaml"])

    def mounted(self, documents, workload, container):
        """The files in a container, by path, with their modes."""
        volumes = {one["name"]: one for one in workload["spec"]["template"]["spec"]["volumes"]}
        (mount, *_) = container["volumeMounts"]
        self.assertTrue(mount["readOnly"])
        self.assertNotIn("subPath", mount, "a subPath does not follow changes")
        projected = volumes[mount["name"]]["projected"]
        files = {}
        for source in projected["sources"]:
            ((kind, what),) = source.items()
            found = self.of_kind(documents, {"secret": "Secret", "configMap": "ConfigMap"}[kind], what["name"])
            items = {key: key for key in found["data"]}
            items = {one["key"]: one["path"] for one in what.get("items", [])} or items
            for key, path in items.items():
                data = found["data"][key]
                files[f"{mount['mountPath']}/{path}"] = base64.b64decode(data) if kind == "secret" else data.encode()
        return files, projected["defaultMode"]

    @of_each_gateway
    def test_the_gateway_accepts_its_configuration(self, documents, workload, container):
        files, mode = self.mounted(documents, workload, container)
        self.assertEqual(mode, 0o440)
        here = self.directory / workload["metadata"]["name"]
        for path, content in files.items():
            file = here / path.lstrip("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            # The same files, in a temporary directory.
            file.write_bytes(content.replace(ETC.encode(), f"{here}{ETC}".encode()))
            file.chmod(mode)
        arguments = ["check"] + [one.replace(ETC, f"{here}{ETC}") for one in container["args"][1:]]
        self.assertEqual(container["args"][0], "run")
        variables = {name: value.replace(ETC, f"{here}{ETC}") for name, value in environment(container).items()}
        output = self.check_configuration(arguments, variables, here, [NO_FILE if self.config(documents) == "" else PLAIN_HTTP])
        self.assertRegex(output, r"devices +1\n")

    def test_secrets_change_in_place_and_gateway_toml_by_a_rolling_update(self):
        names = {(one["kind"], one["metadata"]["name"]) for one in self.render("gateway")}
        for kind, name in (("Secret", "server"), ("Secret", "devices"), ("ConfigMap", "clients")):
            self.assertIn((kind, f"coaps-gateway-{name}"), names)
        hashed = [name for kind, name in names if re.fullmatch(r"coaps-gateway-[a-z0-9]{10}", name)]
        self.assertEqual(len(hashed), 1, names)

    @of_each_gateway
    def test_no_container_of_the_pod_is_privileged(self, documents, workload, _container):
        pod = workload["spec"]["template"]["spec"]
        self.assertFalse(pod["automountServiceAccountToken"])
        for container in containers(workload).values():
            security = {**pod.get("securityContext", {}), **container["securityContext"]}
            self.assertTrue(security["runAsNonRoot"])
            self.assertEqual(security["runAsUser"], 65532)
            self.assertEqual(security["seccompProfile"], {"type": "RuntimeDefault"})
            self.assertTrue(security["readOnlyRootFilesystem"])
            self.assertFalse(security["allowPrivilegeEscalation"])
            self.assertEqual(security["capabilities"], {"drop": ["ALL"]})
        level = self.of_kind(documents, "Namespace")["metadata"]["labels"]
        self.assertEqual(level["pod-security.kubernetes.io/enforce"], "restricted")

    @of_each_gateway
    def test_the_gateway_may_read_the_mounted_files(self, _documents, workload, container):
        # The files belong to root and are readable by their group (0440): fsGroup, or group 0.
        pod = workload["spec"]["template"]["spec"].get("securityContext", {})
        self.assertTrue(pod.get("fsGroup") == 65532 or container["securityContext"].get("runAsGroup") == 0)

    @of_each_gateway
    def test_probes_use_the_admin_port(self, _documents, _workload, container):
        ports = {one["name"]: (one["containerPort"], one["protocol"]) for one in container["ports"]}
        self.assertEqual(ports, {"coaps": (5684, "UDP"), "admin": (9684, "TCP")})
        self.assertEqual(environment(container)["COAPS_GATEWAY__LISTEN__ADMIN"], "127.0.0.1:9684")
        for probe, path in (("startup", "/livez"), ("liveness", "/livez"), ("readiness", "/readyz")):
            self.assertEqual(container[f"{probe}Probe"]["httpGet"], {"path": path, "port": "admin"})
        live = container["livenessProbe"]
        self.assertGreaterEqual(live["periodSeconds"] * live["failureThreshold"], 60)

    @of_each_gateway
    def test_the_grace_period_covers_pre_stop_and_drain(self, documents, workload, container):
        variables, config = environment(container), self.config(documents)
        drain = amount(setting("shutdown.drain", variables, config))
        self.assertGreater(drain, amount(setting("relay.poll_timeout", variables, config)))
        self.assertEqual(list(container["lifecycle"]["preStop"]), ["sleep"], "there is no shell")
        sleep = container["lifecycle"]["preStop"]["sleep"]["seconds"]
        self.assertGreaterEqual(sleep, 5)
        grace = workload["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
        self.assertGreaterEqual(grace, sleep + drain + 10)

    @of_each_gateway
    def test_the_memory_request_covers_all_bounds(self, documents, _workload, container):
        readme = (KUBERNETES / "README.md").read_text()
        in_all = round(memory(environment(container), self.config(documents)) / (1 << 20))
        self.assertTrue(f"**{in_all} MiB**" in readme, f"README.md should say {in_all} MiB")
        self.assertLessEqual(in_all << 20, amount(container["resources"]["requests"]["memory"]))
        self.assertLess(*(amount(container["resources"][of]["memory"]) for of in ("requests", "limits")))
        self.assertNotIn("cpu", container["resources"]["limits"])

    @of_each_gateway
    def test_the_service_routes_a_client_to_the_same_pod(self, documents, workload, container):
        service = self.of_kind(documents, "Service")["spec"]
        self.assertEqual(service["type"], "LoadBalancer")
        self.assertEqual(service["externalTrafficPolicy"], "Local")
        self.assertEqual(service["sessionAffinity"], "ClientIP")
        idle = setting("limits.session_idle", environment(container), self.config(documents))
        self.assertEqual(service["sessionAffinityConfig"]["clientIP"]["timeoutSeconds"], amount(idle))
        self.assertTrue(selects(service["selector"], workload["spec"]["template"]["metadata"]["labels"]))
        (port,) = service["ports"]
        self.assertEqual((port["port"], port["protocol"], port["targetPort"]), (5684, "UDP", "coaps"))

    def test_pods_are_replaced_one_at_a_time(self):
        documents = self.render("gateway")
        deployment = self.of_kind(documents, "Deployment")["spec"]
        labels = deployment["template"]["metadata"]["labels"]
        self.assertTrue(selects(deployment["selector"]["matchLabels"], labels))
        self.assertGreaterEqual(deployment["replicas"], 2)
        self.assertGreaterEqual(deployment["minReadySeconds"], 10)
        self.assertEqual(deployment["strategy"]["rollingUpdate"], {"maxSurge": 1, "maxUnavailable": 0})
        (spread,) = deployment["template"]["spec"]["topologySpreadConstraints"]
        self.assertTrue(selects(spread["labelSelector"]["matchLabels"], labels))
        budget = self.of_kind(documents, "PodDisruptionBudget")["spec"]
        self.assertEqual(budget["maxUnavailable"], 1)
        self.assertTrue(selects(budget["selector"]["matchLabels"], labels))

    def test_over_mqtt_one_pod_serves_the_registry(self):
        documents = self.render("mqtt")
        deployment = self.of_kind(documents, "Deployment")["spec"]
        self.assertEqual(deployment["replicas"], 1)
        # The next pod is there before the old one ends.
        self.assertEqual(deployment["strategy"]["rollingUpdate"], {"maxSurge": 1, "maxUnavailable": 0})

    def test_sessions_outlive_the_pod_on_a_volume_of_its_own(self):
        documents = self.render("stored")
        workload = self.of_kind(documents, "StatefulSet")
        stateless = self.of_kind(self.render("gateway"), "Deployment")
        # A device's datagrams would reach another pod while this one is replaced.
        self.assertEqual(workload["spec"]["replicas"], 1)
        self.assertIn(workload["spec"]["serviceName"], [one["metadata"]["name"] for one in documents if one["kind"] == "Service"])
        for same in ("selector", "minReadySeconds"):
            self.assertEqual(workload["spec"][same], stateless["spec"][same])
        (claim,) = workload["spec"]["volumeClaimTemplates"]
        container = containers(workload)["gateway"]
        etc, state = container["volumeMounts"]
        self.assertEqual(etc["mountPath"], ETC)
        self.assertEqual(state["name"], claim["metadata"]["name"])
        variables = environment(container)
        # Not the volume's own directory, which the kubelet gives to a group.
        self.assertEqual(pathlib.Path(variables["COAPS_GATEWAY__STATE__DIRECTORY"]).parent, pathlib.Path(state["mountPath"]))
        sessions = setting("limits.sessions", variables, self.config(documents))
        self.assertGreater(amount(claim["spec"]["resources"]["requests"]["storage"]), 2 * 400 * sessions + (64 << 20))
        pod = workload["spec"]["template"]["spec"]
        drain = amount(setting("shutdown.drain", variables, self.config(documents)))
        # The sleep, the drain, connections over MQTT, and the disk.
        sleep = container["lifecycle"]["preStop"]["sleep"]["seconds"]
        self.assertGreater(pod["terminationGracePeriodSeconds"], sleep + drain + 2 + 10)

    def test_pods_share_sessions_and_reach_one_another_and_the_store(self):
        documents = self.render("replicas")
        deployment = self.of_kind(documents, "Deployment")
        self.assertGreaterEqual(deployment["spec"]["replicas"], 3)
        container = containers(deployment)["gateway"]
        variables = environment(container)
        files, _ = self.mounted(documents, deployment, container)
        here = self.directory / "replicas"
        for path, content in files.items():
            file = here / path.lstrip("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content.replace(ETC.encode(), f"{here}{ETC}".encode()))
            file.chmod(0o440)
        arguments = ["check"] + [one.replace(ETC, f"{here}{ETC}") for one in container["args"][1:]]
        self.check_configuration(arguments, variables, here, [PLAIN_HTTP])
        port = variables["COAPS_GATEWAY__STATE__ADDRESS"].removeprefix("127.0.0.1:")
        listen = setting("state.listen", variables, self.config(documents))
        self.assertEqual(listen.rsplit(":", 1)[1], port)
        ports = {one["name"]: (one["containerPort"], one["protocol"]) for one in container["ports"]}
        self.assertEqual(ports["group"], (int(port), "UDP"))
        policy = self.of_kind(documents, "NetworkPolicy")["spec"]
        pods = [{"podSelector": deployment["spec"]["selector"]}]
        self.assertEqual(policy["ingress"][-1], {"from": pods, "ports": [{"protocol": "UDP", "port": "group"}]})
        others, store = policy["egress"][-2:]
        self.assertEqual(others, {"to": pods, "ports": [{"protocol": "UDP", "port": int(port)}]})
        host, store_port = GROUP["url"].rsplit("@", 1)[1].rsplit(":", 1)
        name = {"kubernetes.io/metadata.name": host.split(".")[1]}
        self.assertEqual(store["to"], [{"namespaceSelector": {"matchLabels": name}}])
        self.assertEqual(store["ports"], [{"protocol": "TCP", "port": int(store_port)}])
        for key in GROUP:
            self.assertIn(f"--from-literal={key}=", (KUBERNETES / "README.md").read_text())

    def test_the_network_policy_allows_only_devices_prometheus_dns_and_thingsboard(self):
        for overlay, scheme in (("gateway", "http"), ("mqtt", "mqtt")):
            with self.subTest(overlay):
                self.check_network_policy(self.render(overlay), scheme)

    def check_network_policy(self, documents, scheme):
        policy = self.of_kind(documents, "NetworkPolicy")["spec"]
        deployment = self.of_kind(documents, "Deployment")
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        self.assertTrue(selects(policy["podSelector"]["matchLabels"], labels))
        self.assertEqual(policy["policyTypes"], ["Ingress", "Egress"])

        def namespace(name):
            return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}}

        devices, prometheus = policy["ingress"]
        self.assertEqual(devices, {"ports": [{"protocol": "UDP", "port": "coaps"}]})
        self.assertEqual(prometheus["from"], [namespace("monitoring")])
        self.assertEqual(prometheus["ports"], [{"protocol": "TCP", "port": "admin"}])
        thingsboard, dns = policy["egress"]
        url = setting("upstream.url", environment(containers(deployment)["gateway"]), self.config(documents))
        where, port = re.fullmatch(scheme + r"://[a-z-]+\.([a-z-]+)\.svc:(\d+)", url).groups()
        self.assertEqual(thingsboard["to"], [namespace(where)])
        self.assertEqual(thingsboard["ports"], [{"protocol": "TCP", "port": int(port)}])
        self.assertEqual(sorted((one["protocol"], one["port"]) for one in dns["ports"]), [("TCP", 53), ("UDP", 53)])
        self.assertTrue(all("namespaceSelector" in one or "ipBlock" in one for one in dns["to"]))

    def test_the_service_monitor_finds_the_pods(self):
        # The fields are those of the operator's ServiceMonitor (monitoring.coreos.com/v1).
        documents = self.render("monitored")
        monitor = self.of_kind(documents, "ServiceMonitor")
        self.assertEqual(monitor["apiVersion"], "monitoring.coreos.com/v1")
        self.assertEqual(set(monitor["spec"]), {"selector", "endpoints"})
        (endpoint,) = monitor["spec"]["endpoints"]
        self.assertLessEqual(set(endpoint), {"port", "path", "scheme", "interval", "scrapeTimeout"})
        self.assertEqual((endpoint["path"], endpoint["scheme"]), ("/metrics", "http"))
        self.assertLess(amount(endpoint["scrapeTimeout"]), amount(endpoint["interval"]))
        # It selects Services in its own namespace by their labels, and a port of theirs by its name.
        wanted = monitor["spec"]["selector"]["matchLabels"]
        services = [one for one in documents if one["kind"] == "Service"]
        (service,) = [one for one in services if selects(wanted, one["metadata"]["labels"])]
        self.assertEqual(service["metadata"]["namespace"], monitor["metadata"]["namespace"])
        (port,) = service["spec"]["ports"]
        self.assertEqual((port["name"], port["targetPort"]), (endpoint["port"], "admin"))
        self.assertTrue(service["spec"]["publishNotReadyAddresses"], "a draining pod is scraped, too")
        for overlay in ("gateway", "sidecar"):
            labels = self.of_kind(self.render(overlay), "Deployment")["spec"]["template"]["metadata"]["labels"]
            self.assertTrue(selects(service["spec"]["selector"], labels), overlay)

    def test_only_deployments_with_the_label_get_the_sidecar(self):
        kubernetes = self.changeable()
        overlay = kubernetes / "overlays/sidecar"
        deployment = yaml.safe_load((overlay / "deployment.yaml").read_text())
        del deployment["metadata"]["labels"]["coaps-gateway/sidecar"]
        deployment["metadata"]["name"] = "another"
        (overlay / "another.yaml").write_text(yaml.safe_dump(deployment))
        kustomization = overlay / "kustomization.yaml"
        more = kustomization.read_text().replace("  - deployment.yaml", "  - deployment.yaml\n  - another.yaml")
        kustomization.write_text(more)
        documents = self.rendering(kubernetes, "sidecar")
        self.assertEqual(set(containers(self.of_kind(documents, "Deployment", "another"))), {"thingsboard"})
        self.assertEqual(
            set(containers(self.of_kind(documents, "Deployment", "thingsboard"))), {"thingsboard", "coaps-gateway"}
        )

    def test_the_sidecar_ends_before_thingsboard(self):
        documents = self.render("sidecar")
        workload = self.of_kind(documents, "Deployment")
        pod, both = workload["spec"]["template"]["spec"], containers(workload)
        self.assertNotIn("initContainers", pod, "a sidecar among them would end last")
        url = environment(both["coaps-gateway"])["COAPS_GATEWAY__UPSTREAM__URL"]
        self.assertEqual(f"http://{both['thingsboard']['args'][-1]}", url)
        drain = amount(setting("shutdown.drain", environment(both["coaps-gateway"])))
        sleeps = {name: one["lifecycle"]["preStop"]["sleep"]["seconds"] for name, one in both.items()}
        self.assertGreaterEqual(sleeps["thingsboard"], sleeps["coaps-gateway"] + drain)
        self.assertGreater(pod["terminationGracePeriodSeconds"], sleeps["thingsboard"])

    def test_images_are_of_this_version(self):
        for overlay in OVERLAYS:
            for container in containers(workload_of(self.render(overlay))).values():
                self.assertRegex(container["image"], rf"/(coaps-gateway|thingsboard-simulator):{re.escape(cargo_package()['version'])}$")

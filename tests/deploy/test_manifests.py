"""deploy/: what the container file and the Kubernetes manifests promise, read from
them, and Kubernetes' own schemas, in the strict form that refuses unknown fields.
"""

import copy
import pathlib
import re

import kubernetes_validate
import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy"
MANIFESTS = list(
    yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text(encoding="utf-8"))
)
# an older cluster, and the newest that the schemas know
KUBERNETES = ("1.29", kubernetes_validate.latest_version())


def faults(manifests):
    """What is missing or unsafe, as short sentences."""
    of = {m["kind"]: m for m in manifests}
    found = []
    pod = of["Deployment"]["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    outside, inside = pod["spec"]["securityContext"], container["securityContext"]
    wanted = {
        "runs as root": outside.get("runAsNonRoot") is True,
        "no user": outside.get("runAsUser", 0) > 0,
        "no seccomp": outside.get("seccompProfile") == {"type": "RuntimeDefault"},
        "writable": inside.get("readOnlyRootFilesystem") is True,
        "may gain rights": inside.get("allowPrivilegeEscalation") is False,
        "capabilities": inside.get("capabilities") == {"drop": ["ALL"]},
        "token": pod["spec"].get("automountServiceAccountToken") is False,
        "no memory limit": "memory" in container["resources"].get("limits", {}),
        "no request": {"cpu", "memory"} <= set(container["resources"]["requests"]),
        "image without a version": re.search(r":\d", container["image"]) is not None,
        "secret in the open": all("value" not in e for e in container.get("env", [])),
        "liveness asks /ready": container["livenessProbe"]["httpGet"]["path"]
        == "/health",
        "readiness": container["readinessProbe"]["httpGet"]["path"] == "/ready",
        "startup": "startupProbe" in container,
        "grace": pod["spec"]["terminationGracePeriodSeconds"] > 35,
        "egress": of["NetworkPolicy"]["spec"].get("egress") == []
        and set(of["NetworkPolicy"]["spec"]["policyTypes"]) == {"Ingress", "Egress"},
        "selector": of["Deployment"]["spec"]["selector"]["matchLabels"].items()
        <= pod["metadata"]["labels"].items(),
        "service finds nothing": of["Service"]["spec"]["selector"].items()
        <= pod["metadata"]["labels"].items(),
        "scales another": of["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"][
            "name"
        ]
        == of["Deployment"]["metadata"]["name"],
        "port": {p["name"] for p in container["ports"]} == {"http"},
        "volume": {v["name"] for v in container["volumeMounts"]}
        == {v["name"] for v in pod["spec"]["volumes"]},
        "no rolling update": of["Deployment"]["spec"]["strategy"]["rollingUpdate"][
            "maxUnavailable"
        ]
        == 0,
    }
    found += [name for name, fine in wanted.items() if not fine]
    return found


def test_the_manifests_have_no_fault():
    assert faults(MANIFESTS) == []


PLANTED = {
    "runs as root": ("Deployment", ["securityContext", "runAsNonRoot"], False),
    "writable": ("Deployment", ["readOnlyRootFilesystem"], False),
    "may gain rights": ("Deployment", ["allowPrivilegeEscalation"], True),
    "no memory limit": ("Deployment", ["limits"], {}),
    "liveness asks /ready": ("Deployment", ["livenessProbe", "path"], "/ready"),
    "egress": ("NetworkPolicy", ["egress"], [{}]),
    "image without a version": ("Deployment", ["image"], "classifier:latest"),
    "service finds nothing": ("Service", ["selector", "app"], "other"),
}


def put(node, keys, value):
    """Replace the first place that the keys lead to, wherever it is."""
    if isinstance(node, list):
        return any(put(child, keys, value) for child in node)
    if not isinstance(node, dict):
        return False
    if keys[0] in node:
        if len(keys) == 1:
            node[keys[0]] = value
            return True
        return put(node[keys[0]], keys[1:], value)
    return any(put(child, keys, value) for child in node.values())


@pytest.mark.parametrize("fault", PLANTED)
def test_a_fault_is_noticed(fault, counted):
    kind, keys, value = PLANTED[fault]
    changed = copy.deepcopy(MANIFESTS)
    (manifest,) = (m for m in changed if m["kind"] == kind)
    assert put(manifest, keys, value)
    assert faults(changed) == [fault]
    counted("fault")


def schema_faults(manifests, version):
    """What the strict schemas of this Kubernetes refuse: (kind, their sentence)."""
    found = []
    for manifest in manifests:
        try:
            kubernetes_validate.validate(manifest, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            found.append((manifest["kind"], error.message))
        except kubernetes_validate.SchemaNotFoundError as error:
            found.append((manifest["kind"], error.message))
    return found


@pytest.mark.parametrize("version", KUBERNETES)
def test_the_schemas_of_kubernetes(version):
    files = sorted(FOLDER.glob("*.yaml"))
    assert files
    for file in files:
        manifests = list(yaml.safe_load_all(file.read_text(encoding="utf-8")))
        assert schema_faults(manifests, version) == [], file.name


# what kubectl would refuse, or, worse, leave out without a word
AGAINST_SCHEMA = {
    "a number as text": ("Deployment", ["replicas"], "two", "'two'"),
    "a field that is misspelled": (
        "Deployment",
        ["containers"],
        [{"name": "a", "readynessProbe": {}}],
        "readynessProbe",
    ),
    "a probe without a port": (
        "Deployment",
        ["livenessProbe", "httpGet"],
        {"path": "/health"},
        "'port'",
    ),
    "an API that has gone": (
        "HorizontalPodAutoscaler",
        ["apiVersion"],
        "autoscaling/v2beta2",
        "v2beta2",
    ),
    "a list that is a word": ("NetworkPolicy", ["egress"], "none", "'none'"),
}


@pytest.mark.parametrize("fault", AGAINST_SCHEMA)
def test_a_fault_against_the_schema_is_noticed(fault, counted):
    kind, keys, value, named = AGAINST_SCHEMA[fault]
    changed = copy.deepcopy(MANIFESTS)
    (manifest,) = (m for m in changed if m["kind"] == kind)
    assert put(manifest, keys, value)
    ((where, sentence),) = schema_faults(changed, KUBERNETES[-1])
    assert where == kind and named in sentence
    counted("fault")


def test_the_container_is_rootless_and_has_what_it_runs():
    text = (FOLDER / "Containerfile").read_text(encoding="utf-8")
    user = re.search(r"^USER (\d+):\d+$", text, re.M)
    assert user and int(user[1]) > 0
    assert re.search(r'^ENTRYPOINT \["', text, re.M)  # exec form gets the signals
    # after the last FROM nothing is fetched
    assert "pip" not in text.rsplit("FROM", 1)[1]
    for name in re.findall(r"(ftlib/[\w/]+\.py)", text):
        assert (ROOT / name).is_file()
    copied = {pathlib.Path(n).stem for n in re.findall(r"ftlib/deploy/(\w+)\.py", text)}
    serve = (ROOT / "ftlib/deploy/serve.py").read_text(encoding="utf-8")
    plugged = set(re.findall(r'"ftlib\.deploy\.(\w+):', serve))
    assert plugged | {"serve", "__init__"} == copied


def test_the_requirements_are_what_the_files_import():
    names = (FOLDER / "requirements.txt").read_text(encoding="utf-8").split()
    text = (FOLDER / "Containerfile").read_text(encoding="utf-8")
    imported = set()
    for name in re.findall(r"(ftlib/deploy/\w+\.py)", text):
        source = (ROOT / name).read_text(encoding="utf-8")
        imported |= set(re.findall(r"^(?:import|from) (\w+)", source, re.M))
    third = imported & {"torch", "onnx", *(n.replace("-", "_") for n in names)}
    assert third == {n.replace("-", "_") for n in names}
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").lower()
    assert all(f"\n{name}==" in pins for name in names)

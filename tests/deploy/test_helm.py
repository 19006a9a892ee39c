"""The chart, through helm itself and Kubernetes' own schemas; no cluster runs here."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from support.product import named_settings, parse, setting_names

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "celeryscope"
TOOLS = ROOT / "build" / "tools"
VERSION = "v3.19.0"
KUBERNETES = ("1.27", "1.31", "1.37")
EVERYTHING = (
    "indexer.autoscaling.enabled=true",
    "indexer.autoscaling.authenticationRef=kafka",
    "kafka.caSecret=kafka-ca",
    "collector.caSecret=collector-ca",
    "kafka.existingSecret=kafka",
    "elasticsearch.caSecret=elasticsearch-ca",
    "watcher.rulesConfigMap=rules",
    "watcher.existingSecret=notify",
    "collector.processorsConfigMap=processors",
    "collector.settings.WORKERS=2",
    "image.pullSecrets[0]=pull",
)
LEAST = (
    "collector.tlsSecret=",
    "collector.autoscaling.enabled=false",
    "watcher.enabled=false",
    "setup.enabled=false",
    "retention.enabled=false",
    "networkPolicy.enabled=false",
)
Helm = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def helm() -> Helm:
    """helm, as installed or as Go makes it from its sources, once (about two minutes)."""
    program = shutil.which("helm") or str(TOOLS / "helm")
    if not Path(program).exists():
        if not shutil.which("go"):
            pytest.skip("there is neither helm nor Go here")
        package = f"helm.sh/helm/v3/cmd/helm@{VERSION}"
        go = shutil.which("go") or ""
        subprocess.run(["env", f"GOBIN={TOOLS}", go, "install", package], check=True, capture_output=True)
    return lambda *words: subprocess.run([program, *words], capture_output=True, text=True, check=False)


def _rendered(helm: Helm, *values: str, name: str = "celeryscope") -> list[dict[str, Any]]:
    sets = [word for value in values for word in ("--set", value)]
    done = helm("template", name, str(CHART), "--kube-version", "1.31.0", *sets)
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def _pods(documents: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    found = {}
    for document in documents:
        if document["kind"] in {"Deployment", "Job"}:
            found[document["metadata"]["name"]] = document["spec"]["template"]["spec"]
        if document["kind"] == "CronJob":
            found[document["metadata"]["name"]] = document["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    return found


@pytest.mark.timeout(600)
def test_helm_finds_nothing_to_complain_of(helm: Helm) -> None:
    done = helm("lint", "--strict", str(CHART))
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("values", [(), EVERYTHING, LEAST], ids=["defaults", "everything", "least"])
def test_what_it_renders_is_valid_for_each_kubernetes(helm: Helm, values: tuple[str, ...]) -> None:
    documents = _rendered(helm, *values)
    for document in documents:
        # KEDA's own kind is in no schema of Kubernetes.
        if document["apiVersion"].startswith("keda.sh/"):
            continue
        for version in KUBERNETES:
            kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.parametrize("values", [(), EVERYTHING], ids=["defaults", "everything"])
def test_its_pods_start_what_exists_with_settings_that_exist(helm: Helm, values: tuple[str, ...]) -> None:
    documents = _rendered(helm, *values)
    pods = _pods(documents)
    assert {name.rpartition("-")[2] for name in pods} == {"collector", "indexer", "watcher", "setup", "retention"}
    for pod in pods.values():
        (container,) = pod["containers"]
        parse(container["args"])
    assert named_settings(yaml.safe_dump_all(documents)) - setting_names() == set()


def test_its_pods_gain_nothing_and_write_nothing(helm: Helm) -> None:
    for pod in _pods(_rendered(helm)).values():
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False, "a Service would set CELERYSCOPE_COLLECTOR_PORT=tcp://..."
        (container,) = pod["containers"]
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["resources"]["limits"]["memory"]
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod["volumes"]}


def test_services_budgets_policies_and_autoscalers_select_the_pods_they_name(helm: Helm) -> None:
    documents = _rendered(helm, "indexer.autoscaling.enabled=true")
    labels = {
        document["metadata"]["name"]: document["spec"]["template"]["metadata"]["labels"]
        for document in documents
        if document["kind"] == "Deployment"
    }
    seen = set()
    for document in documents:
        name, kind = document["metadata"]["name"], document["kind"]
        if kind in {"Service", "PodDisruptionBudget", "NetworkPolicy"} and name in labels:
            selector = document["spec"].get("podSelector") or document["spec"]["selector"]
            assert selector.get("matchLabels", selector).items() <= labels[name].items()
            seen.add((kind, name.rpartition("-")[2]))
        if kind in {"HorizontalPodAutoscaler", "ScaledObject"}:
            assert document["spec"]["scaleTargetRef"]["name"] in labels
            seen.add((kind, name.rpartition("-")[2]))
    assert seen >= {
        ("Service", "collector"),
        ("HorizontalPodAutoscaler", "collector"),
        ("ScaledObject", "indexer"),
        ("NetworkPolicy", "collector"),
        ("NetworkPolicy", "indexer"),
        *(("PodDisruptionBudget", name) for name in ("collector", "indexer", "watcher")),
    }


def test_indexers_are_not_taken_away_at_every_flutter_of_the_lag(helm: Helm) -> None:
    documents = _rendered(helm, "indexer.autoscaling.enabled=true")
    (scaled,) = [document for document in documents if document["kind"] == "ScaledObject"]
    # KEDA's own cooldownPeriod is about the way to no replica at all, which is never taken.
    assert scaled["spec"]["minReplicaCount"] > 0
    behavior = scaled["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    assert behavior["scaleDown"]["stabilizationWindowSeconds"] >= 300


def test_a_probe_asks_the_port_only_where_clients_must_show_certificates(helm: Helm) -> None:
    def probes(*values: str) -> list[dict[str, Any]]:
        pods = _pods(_rendered(helm, *values))
        (container,) = next(pod for name, pod in pods.items() if name.endswith("collector"))["containers"]
        return [container[f"{kind}Probe"] for kind in ("readiness", "liveness", "startup")]

    assert [probe["httpGet"]["path"] for probe in probes()] == ["/readyz", "/healthz", "/healthz"]
    assert {probe["httpGet"]["scheme"] for probe in probes()} == {"HTTPS"}
    with_certificates = probes("collector.settings.SSL_CLIENT_CA=/etc/celeryscope/tls/ca.crt")
    assert [probe.get("tcpSocket") for probe in with_certificates] == 3 * [{"port": "otlp-http"}]


@pytest.mark.parametrize(
    ("values", "collectors"),
    [
        ((), None),
        (("collector.tlsSecret=",), "dns+http://celeryscope-collector-each:4318"),
        (("collector.caSecret=ca",), "dns+https://celeryscope-collector-each:4318"),
        (("collector.caSecret=ca", "collector.settings.SSL_CLIENT_CA=/ca"), None),
    ],
)
def test_the_watcher_reads_the_metrics_of_each_that_it_can_know(
    helm: Helm, values: tuple[str, ...], collectors: str | None
) -> None:
    documents = _rendered(helm, *values)
    (container,) = _pods(documents)["celeryscope-watcher"]["containers"]
    environ = {item["name"]: item.get("value") for item in container["env"]}
    assert environ.get("CELERYSCOPE_PIPELINE_COLLECTORS") == collectors
    assert environ["CELERYSCOPE_PIPELINE_INDEXERS"] == "dns+http://celeryscope-indexer-each:9465"
    assert ("CELERYSCOPE_PIPELINE_CA_FILE" in environ) == ("collector.caSecret=ca" in values)
    headless = {
        document["metadata"]["name"]: document["spec"]
        for document in documents
        if document["kind"] == "Service" and document["spec"].get("clusterIP") == "None"
    }
    ports = {name: spec["ports"][0]["port"] for name, spec in headless.items()}
    assert ports == {"celeryscope-collector-each": 4318, "celeryscope-indexer-each": 9465}
    # An indexer that waits is not ready, and that it waits is what is asked.
    assert all(spec.get("publishNotReadyAddresses") for spec in headless.values())
    watcher = {"app.kubernetes.io/component": "watcher"}
    for policy in (document for document in documents if document["kind"] == "NetworkPolicy"):
        if policy["metadata"]["name"].endswith(("-collector", "-indexer")):
            allowed = [peer["podSelector"].get("matchLabels", {}) for peer in _peers(policy) if "podSelector" in peer]
            assert any(watcher.items() <= labels.items() for labels in allowed)


def _peers(policy: dict[str, Any]) -> list[dict[str, Any]]:
    return [peer for rule in policy["spec"]["ingress"] for peer in rule["from"]]


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ("colector.replicas=3", "colector"),
        ("kafka.bootstrapServers=kafka", "bootstrapServers"),
        ("elasticsearch.url=search:9200", "url"),
        ("collector.settings.workers=2", "workers"),
        ("retention.tasks=90", "tasks"),
    ],
)
def test_a_wrong_value_is_refused_by_name(helm: Helm, value: str, named: str) -> None:
    done = helm("template", "any", str(CHART), "--kube-version", "1.31.0", "--set", value)
    assert done.returncode != 0
    assert named in done.stderr


def test_no_secret_stands_in_the_values() -> None:
    values = (CHART / "values.yaml").read_text()
    assert not re.search(r"^\s*(password|apiKey|token):", values, re.MULTILINE)

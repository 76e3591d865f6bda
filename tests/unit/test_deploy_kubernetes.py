"""The Kubernetes example: valid by the schemas of its kinds, and of one piece."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping

import kubernetes_validate
import pytest
from deploy_cases import DEPLOY, GRACE_LEAST_S, Doc, accepted, manifests, unknown_options

VERSION = "1.37"
NOT_OF_KUBERNETES = {"Kustomization", "ScaledObject"}
AUTOSCALERS = {"worker-hpa.yaml", "worker-scaledobject.yaml"}


def of_kind(kind: str) -> list[Doc]:
    found = [doc for doc in manifests() if doc["kind"] == kind]
    assert found
    return found


def pods() -> dict[str, Doc]:
    return {doc["metadata"]["name"]: doc["spec"]["template"] for doc in of_kind("Deployment")}


def selected(labels: Mapping[str, str]) -> list[str]:
    """The deployments whose pods have the labels."""
    return [n for n, pod in pods().items() if labels.items() <= pod["metadata"]["labels"].items()]


def test_every_manifest_follows_the_schema_of_its_kind():
    checked = [doc for doc in manifests() if doc["kind"] not in NOT_OF_KUBERNETES]
    for doc in checked:
        kubernetes_validate.validate(doc, VERSION, strict=True)
    assert len(checked) >= 14


def test_all_is_applied_but_secrets_and_the_choice_of_an_autoscaler():
    (listed,) = manifests("kustomization.yaml")
    left_out = {"kustomization.yaml", "secrets.example.yaml", *AUTOSCALERS}
    files = {file.name for file in (DEPLOY / "kubernetes").glob("*.yaml")}
    assert files - left_out == set(listed["resources"])
    spaces = {doc["metadata"].get("namespace") for doc in manifests() if "metadata" in doc}
    assert spaces == {listed["namespace"], None}  # the namespace itself is in none


def test_every_selector_finds_the_pods_of_one_deployment():
    for kind in ("Deployment", "PodDisruptionBudget"):
        for doc in of_kind(kind):
            assert selected(doc["spec"]["selector"]["matchLabels"]) == [doc["metadata"]["name"]]
    for doc in of_kind("Service"):
        assert selected(doc["spec"]["selector"]) == [doc["metadata"]["name"]]
    for doc in of_kind("NetworkPolicy"):
        assert selected(doc["spec"]["podSelector"].get("matchLabels", {}))
    for name, pod in pods().items():
        rules = pod["spec"]["affinity"]["podAntiAffinity"]
        (rule,) = rules["preferredDuringSchedulingIgnoredDuringExecution"]
        assert selected(rule["podAffinityTerm"]["labelSelector"]["matchLabels"]) == [name]


@pytest.mark.parametrize("name", ["recsvc-api", "recsvc-worker"])
def test_a_container_is_probed_on_the_port_that_it_serves(name: str):
    (one,) = pods()[name]["spec"]["containers"]
    probes = [one[f"{kind}Probe"]["httpGet"] for kind in ("startup", "readiness", "liveness")]
    assert [get["path"] for get in probes] == ["/healthz", "/readyz", "/healthz"]
    (port,) = one["ports"]
    assert {get["port"] for get in probes} == {port["name"]}
    assert one["command"][one["command"].index("--port") + 1] == str(port["containerPort"])
    assert unknown_options(one["command"]) == set()


@pytest.mark.parametrize("name", ["recsvc-api", "recsvc-worker"])
def test_a_pod_is_bounded_and_has_no_more_rights_than_it_needs(name: str):
    spec = pods()[name]["spec"]
    (one,) = spec["containers"]
    assert one["resources"]["limits"].keys() == {"cpu", "memory"}
    assert one["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert spec["securityContext"]["runAsNonRoot"]
    assert not spec["automountServiceAccountToken"]
    assert not spec["enableServiceLinks"]  # which would add RECSVC_API_* variables
    assert spec["terminationGracePeriodSeconds"] >= GRACE_LEAST_S


def test_the_settings_are_accepted_with_and_without_the_example_of_secrets():
    (config,) = of_kind("ConfigMap")
    settings, keys = (doc["stringData"] for doc in of_kind("Secret"))
    assert accepted(config["data"]).qdrant_replication == 2
    assert accepted({**config["data"], **settings}).kafka_security_protocol == "SASL_SSL"
    assert tomllib.loads(keys["keys.toml"])["keys"][0]["name"] == "shop"


def test_no_autoscaler_wants_more_workers_than_partitions():
    settings = accepted(of_kind("ConfigMap")[0]["data"])
    (keda,), (hpa,) = (manifests(name) for name in sorted(AUTOSCALERS, reverse=True))
    assert keda["spec"]["maxReplicaCount"] == settings.event_log_partitions
    assert hpa["spec"]["maxReplicas"] == settings.event_log_partitions
    targets = {doc["spec"]["scaleTargetRef"]["name"] for doc in (keda, hpa)}
    assert targets == {"recsvc-worker"}


def test_keda_asks_for_the_lag_of_our_group_in_our_topic():
    settings = accepted(of_kind("ConfigMap")[0]["data"])
    (trigger,) = of_kind("ScaledObject")[0]["spec"]["triggers"]
    asked = trigger["metadata"]
    assert asked["consumerGroup"] == settings.event_log_name
    assert asked["topic"] == f"{settings.event_log_name}.events"
    assert f"kafka://{asked['bootstrapServers']}" == settings.event_log_url

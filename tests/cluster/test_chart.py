"""What the chart makes of its values, and which values it refuses."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from stoq_operator import clustersettings
from stoq_operator.webhook import settings as webhook_settings
from support.helm import CHART, ROOT, Objects, Refused, helm, rendered

Render = Callable[..., Objects]

DEPLOYMENT = ("Deployment", "stoq-operator")


@pytest.fixture
def render() -> Render:
    return rendered


def container(objects: Objects, name: str) -> dict[str, Any]:
    containers = objects[DEPLOYMENT]["spec"]["template"]["spec"]["containers"]
    found: dict[str, Any] = next(item for item in containers if item["name"] == name)
    return found


def environment(objects: Objects, name: str) -> dict[str, str]:
    return {item["name"]: item["value"] for item in container(objects, name)["env"]}


def test_helm_lint_has_nothing_to_say() -> None:
    assert "0 chart(s) failed" in helm("lint", CHART, "--namespace", "stoq-system", "--strict")


def test_every_value_is_commented() -> None:
    commented = False
    for line in (CHART / "values.yaml").read_text().splitlines():
        if re.match(r"\s*[A-Za-z]+: \S", line) and not line.lstrip().startswith(
            ("requests", "limits", "repository")
        ):
            assert commented or line.lstrip().startswith(("podLabels", "tolerations")), line
        commented = line.lstrip().startswith("#")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("operator.replica=3", "replica"),
        ("operator.replicas=0", "replicas"),
        ("operator.logLevel=loud", "logLevel"),
        ("webhook.failurePolicy=fail", "failurePolicy"),
        ("webhook.timeoutSeconds=31", "timeoutSeconds"),
        ("image.pullPolicy=never", "pullPolicy"),
        ("injection.resources.cpuRequest=lots", "cpuRequest"),
        ("mesh.trustDomain=A B", "trustDomain"),
        ("test.namespace=No", "namespace"),
        ("monitoring.podMonitor.interval=often", "interval"),
    ],
)
def test_a_value_that_can_not_be_is_refused_by_name(render: Render, value: str, said: str) -> None:
    with pytest.raises(Refused, match=said):
        render(value)


def test_another_namespace_is_refused_with_the_reason(render: Render) -> None:
    with pytest.raises(Refused, match="part of the operator's SPIFFE id"):
        render(namespace="default")


def test_both_programs_accept_the_settings_they_are_given(render: Render) -> None:
    objects = render("mesh.trustDomain=prod.example.org", "injection.logLevel=debug")
    operator = clustersettings.read(environment(objects, "operator"))
    webhook = webhook_settings.read(environment(objects, "webhook"))
    assert operator.mesh.trust_domain == "prod.example.org"
    assert webhook.config.trust_domain == "prod.example.org"
    assert webhook.config.log_level == "debug"


def test_images_are_put_together_from_registry_repository_and_tag(render: Render) -> None:
    objects = render("image.registry=r.test/x", "image.tag=v7", "images.init.repository=other")
    assert container(objects, "operator")["image"] == "r.test/x/operator:v7"
    config = webhook_settings.read(environment(objects, "webhook")).config
    assert config.sidecar_image == "r.test/x/sidecar:v7"
    assert config.init_image == "r.test/x/other:v7"


def test_definitions_are_kept_unless_told_otherwise(render: Render) -> None:
    def policies(objects: Objects) -> list[str | None]:
        return [
            item["metadata"].get("annotations", {}).get("helm.sh/resource-policy")
            for (kind, _), item in objects.items()
            if kind == "CustomResourceDefinition"
        ]

    assert policies(render()) == ["keep"] * 7
    assert policies(render("crds.keep=false")) == [None] * 7
    assert policies(render("crds.install=false")) == []


def test_definitions_are_those_of_the_repository(render: Render) -> None:
    objects = render()
    for path in (ROOT / "crds").glob("*.yaml"):
        source = yaml.safe_load(path.read_text())
        made = objects["CustomResourceDefinition", source["metadata"]["name"]]
        assert made["spec"] == source["spec"]


def test_the_webhook_fails_closed_for_enrolled_pods_only_and_names_no_authority(
    render: Render,
) -> None:
    namespace, single = render()["MutatingWebhookConfiguration", "stoq-injector"]["webhooks"]
    for hook in (namespace, single):
        assert hook["failurePolicy"] == "Fail"
        assert hook["timeoutSeconds"] == 5
        assert hook["reinvocationPolicy"] == "IfNeeded"
        assert "caBundle" not in hook["clientConfig"]
        system = {"kube-system", "stoq-system"}
        assert any(
            set(item["values"]) == system and item["operator"] == "NotIn"
            for item in hook["namespaceSelector"]["matchExpressions"]
        )
    assert namespace["namespaceSelector"]["matchLabels"] == {"stoq.dev/inject": "enabled"}
    assert single["objectSelector"]["matchLabels"] == {"stoq.dev/inject": "enabled"}


def test_the_operators_pod_passes_the_restricted_standard(render: Render) -> None:
    spec = render()[DEPLOYMENT]["spec"]["template"]["spec"]
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for item in spec["containers"]:
        assert item["securityContext"]["allowPrivilegeEscalation"] is False
        assert item["securityContext"]["readOnlyRootFilesystem"] is True
        assert item["securityContext"]["capabilities"] == {"drop": ["ALL"]}


@pytest.mark.parametrize(
    ("values", "present", "kind"),
    [
        ([], True, "ValidatingAdmissionPolicy"),
        (["admissionPolicy.enabled=false"], False, "ValidatingAdmissionPolicy"),
        ([], True, "PodDisruptionBudget"),
        (["operator.replicas=1"], False, "PodDisruptionBudget"),
        ([], False, "NetworkPolicy"),
        (["networkPolicy.enabled=true"], True, "NetworkPolicy"),
        ([], False, "PodMonitor"),
        (["monitoring.podMonitor.enabled=true"], True, "PodMonitor"),
        (["monitoring.rules.enabled=true"], True, "PrometheusRule"),
        (["monitoring.dashboard.enabled=true"], True, "ConfigMap"),
    ],
)
def test_what_is_optional_is_there_when_asked_for(
    render: Render, values: list[str], present: bool, kind: str
) -> None:
    assert any(found == kind for found, _ in render(*values)) == present


def test_alerts_and_dashboard_ask_for_metrics_that_exist() -> None:
    documented = set(re.findall(r"stoq_\w+", (ROOT / "docs" / "metrics.md").read_text()))
    for name in ("alerts.yaml", "dashboard.json"):
        used = set(re.findall(r"stoq_\w+", (CHART / "files" / name).read_text()))
        assert {metric.removesuffix("_bucket") for metric in used} <= documented

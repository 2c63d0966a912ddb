import json

import pytest
import yaml

POD = {"containers": [{"name": "main", "image": "app"}]}
IMAGE = "registry/stoq/sidecar:1"


def workload(kind, **template):
    body = {"metadata": {}, "spec": {**POD, **template}}
    inner = {"spec": {"template": body}}
    spec = {"jobTemplate": inner} if kind == "CronJob" else inner["spec"]
    return {"apiVersion": "x/v1", "kind": kind, "metadata": {"name": "web"}, "spec": spec}


@pytest.fixture
def inject(stoqctl, tmp_path):
    def run(*documents, options=()):
        file = tmp_path / "manifests.yaml"
        file.write_text(yaml.safe_dump_all(documents))
        return stoqctl("inject", file, "--image", IMAGE, *options)

    return run


def names(template):
    return [container["name"] for container in template["spec"]["initContainers"]]


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet", "Job"])
def test_the_template_of_a_workload_gets_our_containers_first(inject, kind):
    status, text = inject(workload(kind, initContainers=[{"name": "own", "image": "x"}]))
    assert status == 0
    template = yaml.safe_load(text)["spec"]["template"]
    assert names(template) == ["stoq-sidecar", "stoq-init", "own"]
    assert template["spec"]["initContainers"][1]["image"] == IMAGE


def test_the_template_inside_a_cron_job_is_found(inject):
    (found,) = json.loads(inject(workload("CronJob"), options=("--json",))[1])["items"]
    assert names(found["spec"]["jobTemplate"]["spec"]["template"])[:2] == [
        "stoq-sidecar", "stoq-init",
    ]  # fmt: skip


def test_injecting_again_changes_nothing(inject):
    _, once = inject(workload("Deployment"))
    assert "&id" not in once
    _, twice = inject(yaml.safe_load(once))
    assert yaml.safe_load(twice) == yaml.safe_load(once)


def test_items_of_a_list_are_injected_and_other_kinds_stay(inject):
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}}
    listing = {"kind": "List", "items": [workload("Deployment"), service]}
    deployment, other = yaml.safe_load(inject(listing)[1])["items"]
    assert names(deployment["spec"]["template"]) == ["stoq-sidecar", "stoq-init"]
    assert other == service


def test_a_pod_that_stays_outside_is_said_and_printed_as_it_is(inject):
    host = workload("Deployment", hostNetwork=True)
    _, text = inject(host)
    assert "Deployment web stays as it is: it uses the node's network" in text


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (workload("Deployment", securityContext={"runAsUser": 14008}), "Deployment web: container"),
        ({"kind": "Deployment", "spec": {}}, "is it a manifest?"),
        ("text", "is no manifest"),
    ],
)
def test_what_can_not_be_meshed_is_refused(inject, document, says):
    status, text = inject(document)
    assert status == 1
    assert says in text


def test_a_file_that_is_no_yaml_or_not_there_is_named(stoqctl, tmp_path):
    (tmp_path / "x").write_text("a: [")
    for name in ("x", "none"):
        status, text = stoqctl("inject", tmp_path / name, "--image", IMAGE)
        assert status == 1
        assert name in text


def test_the_image_must_be_given(stoqctl):
    assert stoqctl("inject")[0] == 2


def test_udp_is_captured_where_agents_capture_it(inject):
    def said(*options):
        template = yaml.safe_load(inject(workload("Deployment"), options=options)[1])
        sidecar, _ = template["spec"]["template"]["spec"]["initContainers"]
        return {item["name"]: item.get("value") for item in sidecar["env"]}["STOQ_CAPTURE_UDP"]

    assert said("--capture", "node") == "off"
    assert said("--capture", "node", "--capture-udp") == "on"

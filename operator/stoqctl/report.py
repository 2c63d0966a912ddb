"""The files of a bug report, from what was gathered before. Pure."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from stoqctl import redact
from stoqctl.finding import Finding, document
from stoqctl.judge.facts import Facts, Object, name
from stoqctl.overview import overview


def files(
    facts: Facts, objects: Sequence[Object], findings: Sequence[Finding]
) -> Iterator[tuple[str, str]]:
    """Names and contents, without anything that sidecars and logs say."""
    yield "check.json", _json(redact.texts(document(findings)))
    yield "status.json", _json(redact.texts(overview(facts)))
    yield "version.json", _json(facts.version)
    yield "crds.txt", "".join(f"{crd}\n" for crd in sorted(facts.crds))
    for label, found in (("webhook", facts.webhook), ("lease", facts.lease)):
        if found is not None:
            yield f"{label}.json", _json(redact.plain(found))
    if facts.deployment is not None:
        template = facts.deployment["spec"]["template"]
        yield (
            "operator.json",
            _json(
                {
                    "metadata": redact.metadata(facts.deployment),
                    "replicas": facts.deployment["spec"].get("replicas"),
                    "template": redact.pod(template),
                    "status": redact.texts(facts.deployment.get("status") or {}),
                }
            ),
        )
    for item in facts.capabilities:
        yield f"nodecapabilities/{name(item)}.json", _json(redact.plain(item))
    yield "nodes.json", _json([_node(node) for node in facts.nodes])
    yield "namespaces.json", _json([redact.metadata(item) for item in facts.enrolled])
    for item in facts.network_policies:
        yield f"networkpolicies/{name(item)}.json", _json(redact.plain(item))
    for item in objects:
        yield f"records/{item['kind']}/{name(item)}.json", _json(redact.plain(item))
    for item in facts.pods:
        yield f"pods/{name(item)}.json", _json(redact.pod(item))


def _node(node: Object) -> dict[str, Any]:
    status = node.get("status") or {}
    return {
        "name": name(node),
        "info": status.get("nodeInfo"),
        "conditions": redact.texts(status.get("conditions") or []),
    }


def page(value: Mapping[str, Any] | Sequence[Any]) -> str:
    """What a sidecar's page said."""
    return _json(redact.texts(value))


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"

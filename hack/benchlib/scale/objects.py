"""The objects that stand for a cluster full of workloads. Pure."""

import ipaddress
from typing import Any, Final

Object = dict[str, Any]

NAMESPACE: Final = "stoq-scale"
"""Where the simulated pods and the records are."""

ENROLLED: Final = "stoq-scale-enrolled"
"""Where pods are created as a dry run, to be injected."""

SYSTEM: Final = "stoq-system"

PODS_PER_NODE: Final = 100

PODS_PER_ACCOUNT: Final = 500
"""All simulated sidecars have one address; of one identity at one address the control plane takes
1,024 calls (`ServerLimits.peer_calls`).
"""

ADDRESSES: Final = ipaddress.IPv6Network("fd5c::/64")
"""Of the simulated pods. Nobody connects to them."""

_TOLERATE: Final = [{"operator": "Exists"}]


def namespace(name: str, *, enrolled: bool = False) -> Object:
    """A namespace."""
    labels = {"stoq.dev/inject": "enabled"} if enrolled else {}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def node_name(number: int) -> str:
    """The node that carries the pod of that number."""
    return f"scale-{number // PODS_PER_NODE}"


def nodes(pods: int) -> list[Object]:
    """Nodes enough for so many pods, in three zones."""
    names = sorted({node_name(number) for number in range(pods)})
    return [
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": name,
                "labels": {"topology.kubernetes.io/zone": f"zone-{place % 3}"},
            },
            "spec": {"taints": [{"key": "stoq.dev/simulated", "effect": "NoSchedule"}]},
        }
        for place, name in enumerate(names)
    ]


def account_name(number: int) -> str:
    """The service account of the pod of that number."""
    return f"account-{number // PODS_PER_ACCOUNT}"


def accounts(pods: int) -> list[Object]:
    """Service accounts enough for so many pods."""
    return [
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": account_name(number), "namespace": NAMESPACE},
        }
        for number in range(0, pods, PODS_PER_ACCOUNT)
    ]


def heartbeat(node: str, now: str) -> Object:
    """The Lease by which a kubelet says that it lives; `now` is RFC 3339 with microseconds."""
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": node, "namespace": "kube-node-lease"},
        "spec": {"holderIdentity": node, "leaseDurationSeconds": 40, "renewTime": now},
    }


def node_status(now: str) -> Object:
    """The status of a node that is well."""
    condition = {
        "type": "Ready",
        "status": "True",
        "reason": "Simulated",
        "message": "no kubelet",
        "lastHeartbeatTime": now,
        "lastTransitionTime": now,
    }
    return {"status": {"conditions": [condition]}}


def pod_name(number: int) -> str:
    """Of the pod of that number."""
    return f"pod-{number:05d}"


def address(number: int) -> str:
    """Of the pod of that number."""
    return str(ADDRESSES[number + 0x100])


def pod(number: int, *, labels: dict[str, str] | None = None) -> Object:
    """A pod as it is after injection, as far as the operator reads it."""
    image = "localhost/stoq/nothing:none"
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": pod_name(number),
            "namespace": NAMESPACE,
            "labels": {"app": f"app-{number // 10}", **(labels or {})},
        },
        "spec": {
            "nodeName": node_name(number),
            "tolerations": _TOLERATE,
            "terminationGracePeriodSeconds": 0,
            "serviceAccountName": account_name(number),
            "initContainers": [
                {"name": "stoq-sidecar", "image": image, "restartPolicy": "Always"},
                {"name": "stoq-init", "image": image},
            ],
            "containers": [{"name": "app", "image": image}],
        },
    }


def pod_status(number: int, now: str, *, ready: bool) -> Object:
    """The status of a pod that runs; one that is not ready has its address already."""
    return {
        "status": {
            "phase": "Running",
            "podIP": address(number),
            "podIPs": [{"ip": address(number)}],
            "startTime": now,
            "conditions": [
                {
                    "type": "Ready",
                    "status": "True" if ready else "False",
                    "lastTransitionTime": now,
                }
            ],
        }
    }


def token_request(pod_: Object) -> Object:
    """Asks for the token that a kubelet would project into the pod."""
    found = pod_["metadata"]
    return {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {
            "audiences": ["stoq.dev"],
            "expirationSeconds": 7200,
            "boundObjectRef": {
                "kind": "Pod",
                "apiVersion": "v1",
                "name": found["name"],
                "uid": found["uid"],
            },
        },
    }


def record(name: str, *addresses: str) -> Object:
    """A service record with endpoints of its own."""
    return _record(name, {"endpoints": [{"address": item} for item in addresses]})


def selecting(name: str, labels: dict[str, str]) -> Object:
    """A service record whose endpoints are the ready pods with these labels."""
    return _record(name, {"selector": {"matchLabels": labels}})


def _record(name: str, spec: Object) -> Object:
    return {
        "apiVersion": "stoq.dev/v1alpha1",
        "kind": "ServiceRecord",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"ports": [{"port": 443, "targetPort": 8443, "name": "https"}], **spec},
    }


def plain_pod() -> Object:
    """A pod as somebody writes it, for the webhook."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"generateName": "dry-run-", "namespace": ENROLLED},
        "spec": {
            "containers": [
                {"name": name, "image": "registry.invalid/app:1", "ports": [{"containerPort": 80}]}
                for name in ("app", "worker")
            ]
        },
    }


WEBHOOK: Final = "namespace.inject.stoq.dev"


def webhook(where: str, port: int) -> list[Object]:
    """The webhook as the chart configures it; its Service leads to a process at `where`."""
    named = {"name": "stoq-webhook", "namespace": SYSTEM}
    rule = {
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "operations": ["CREATE"],
        "resources": ["pods"],
        "scope": "Namespaced",
    }
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": named,
            "spec": {"ports": [{"name": "https", "port": 443, "targetPort": port}]},
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": "stoq-webhook-scale",
                "namespace": SYSTEM,
                "labels": {"kubernetes.io/service-name": "stoq-webhook"},
            },
            "addressType": "IPv6",
            "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
            "endpoints": [{"addresses": [where], "conditions": {"ready": True}}],
        },
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": "stoq-injector"},
            "webhooks": [
                {
                    "name": WEBHOOK,
                    "admissionReviewVersions": ["v1"],
                    "clientConfig": {"service": {**named, "path": "/inject", "port": 443}},
                    "failurePolicy": "Fail",
                    "matchPolicy": "Equivalent",
                    "reinvocationPolicy": "IfNeeded",
                    "sideEffects": "NoneOnDryRun",
                    "timeoutSeconds": 5,
                    "rules": [rule],
                    "namespaceSelector": {"matchLabels": {"stoq.dev/inject": "enabled"}},
                }
            ],
        },
    ]

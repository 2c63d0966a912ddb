"""What every cluster has from the start: its nodes, the kubelet's caller, DNS. Pure."""

from typing import Any

from clusterlib import images
from clusterlib.plan import DOMAIN, Plan

Object = dict[str, Any]

KUBELET_CALLER = "kube-apiserver-kubelet-client"
"""Who the API server is towards kubelets: logs, exec, port-forward."""

_DNS = {"k8s-app": "kube-dns"}

# Names in the cluster are answered, all others do not exist: at once, and with a negative TTL.
_COREFILE = f"""\
{DOMAIN}:53 in-addr.arpa:53 ip6.arpa:53 {{
    errors
    health
    ready
    prometheus :9153
    kubernetes {DOMAIN} in-addr.arpa ip6.arpa {{
        pods insecure
        ttl 5
    }}
    cache 5
    loadbalance
    reload
}}
.:53 {{
    errors
    template ANY ANY . {{
        rcode NXDOMAIN
        authority ". 60 IN SOA ns.invalid. hostmaster.invalid. 1 60 60 60 60"
    }}
}}
"""


def nodes(plan: Plan) -> list[Object]:
    """Made before their kubelets start, so that pod ranges are those the routes lead to."""
    return [
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": node.name,
                # Each node a zone of its own: what prefers near endpoints has a choice to make.
                "labels": {"topology.kubernetes.io/zone": f"zone-{node.name}"},
            },
            "spec": {
                "podCIDR": str(node.pod_ranges[0]),
                "podCIDRs": [str(range_) for range_ in node.pod_ranges],
            },
        }
        for node in plan.nodes
    ]


def system(plan: Plan) -> list[Object]:
    """The API server's right to call kubelets, and CoreDNS."""
    return [
        _binding("stoq-cluster:kubelet-api", "system:kubelet-api-admin", _user(KUBELET_CALLER)),
        _named("v1", "ServiceAccount", "coredns"),
        _dns_role(),
        _binding("system:coredns", "system:coredns", _account("coredns")),
        {**_named("v1", "ConfigMap", "coredns"), "data": {"Corefile": _COREFILE}},
        {**_named("apps/v1", "Deployment", "coredns", _DNS), "spec": _dns_deployment()},
        {**_named("v1", "Service", "kube-dns", _DNS), "spec": _dns_service(plan)},
    ]


def as_list(objects: list[Object]) -> Object:
    """One document for `kubectl apply`."""
    return {"apiVersion": "v1", "kind": "List", "items": objects}


def _named(version: str, kind: str, name: str, labels: dict[str, str] | None = None) -> Object:
    metadata = {"name": name, "namespace": "kube-system", "labels": labels or {}}
    return {"apiVersion": version, "kind": kind, "metadata": metadata}


def _user(name: str) -> Object:
    return {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name}


def _account(name: str) -> Object:
    return {"kind": "ServiceAccount", "name": name, "namespace": "kube-system"}


def _binding(name: str, role: str, subject: Object) -> Object:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": role,
        },
        "subjects": [subject],
    }


def _dns_role() -> Object:
    read = ["list", "watch"]
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "system:coredns"},
        "rules": [
            {"apiGroups": [""], "resources": ["services", "pods", "namespaces"], "verbs": read},
            {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": read},
        ],
    }


def _dns_deployment() -> Object:
    container = {
        "name": "coredns",
        "image": images.COREDNS,
        "imagePullPolicy": "Never",
        "args": ["-conf", "/etc/coredns/Corefile"],
        "ports": [
            {"name": "dns", "containerPort": 53, "protocol": "UDP"},
            {"name": "dns-tcp", "containerPort": 53, "protocol": "TCP"},
            {"name": "metrics", "containerPort": 9153, "protocol": "TCP"},
        ],
        "livenessProbe": {"httpGet": {"path": "/health", "port": 8080}, "timeoutSeconds": 5},
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8181}, "periodSeconds": 1},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
            "readOnlyRootFilesystem": True,
        },
        "resources": {"requests": {"cpu": "50m", "memory": "40Mi"}},
        "volumeMounts": [{"name": "config", "mountPath": "/etc/coredns", "readOnly": True}],
    }
    pod = {
        "serviceAccountName": "coredns",
        "priorityClassName": "system-cluster-critical",
        "dnsPolicy": "Default",
        "containers": [container],
        "volumes": [{"name": "config", "configMap": {"name": "coredns"}}],
    }
    return {
        "replicas": 1,
        "selector": {"matchLabels": _DNS},
        "template": {"metadata": {"labels": _DNS}, "spec": pod},
    }


def _dns_service(plan: Plan) -> Object:
    families = [f"IPv{version}" for version in plan.family.versions]
    addresses = [str(address) for address in plan.dns]
    return {
        "selector": _DNS,
        "clusterIP": addresses[0],
        "clusterIPs": addresses,
        "ipFamilies": families,
        "ipFamilyPolicy": "RequireDualStack" if len(families) > 1 else "SingleStack",
        "ports": [
            {"name": "dns", "port": 53, "protocol": "UDP"},
            {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
            {"name": "metrics", "port": 9153, "protocol": "TCP"},
        ],
    }

"""The control plane: etcd, API server, controller manager and scheduler, as services. Pure."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clusterlib.pki import Pair
from clusterlib.plan import API_PORT, DOMAIN, Plan
from clusterlib.services import Service, flags

ETCD = "http://127.0.0.1:2379"
"""In the control plane's own namespace, where nobody else is."""

ISSUER = f"https://kubernetes.default.svc.{DOMAIN}"
"""Issuer and default audience of service-account tokens."""

API_NAMES = (
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    f"kubernetes.default.svc.{DOMAIN}",
    "localhost",
)

AUDIT_LOG = "audit.log"
AUDIT_POLICY: dict[str, Any] = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    # Who used which verb on what: enough to compare with the rights that were granted.
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}


@dataclass(frozen=True, slots=True)
class Files:
    """Where the control plane finds its keys and settings, and keeps its data."""

    folder: Path
    authority: Pair
    api: Pair
    kubelet_client: Pair
    front_authority: Pair
    front_client: Pair
    tokens: Pair

    @property
    def audit_log(self) -> Path:
        """One JSON object a line: every request the API server answered."""
        return self.folder / "logs" / AUDIT_LOG

    @property
    def audit_policy(self) -> Path:
        """What is written to it."""
        return self.folder / "audit-policy.json"

    def kubeconfig(self, component: str) -> Path:
        """Of a component of the control plane."""
        return self.folder / f"{component}.kubeconfig"


def services(plan: Plan, files: Files, programs: Path) -> tuple[Service, ...]:
    """In the order in which they make sense; each goes on trying until the others are there."""
    return (
        Service("etcd", (str(programs / "etcd"), *flags(_etcd(files)))),
        Service("kube-apiserver", (str(programs / "kube-apiserver"), *flags(_api(plan, files)))),
        *(
            Service(name, (str(programs / name), *flags({**_client(name, files), **settings})))
            for name, settings in (
                ("kube-controller-manager", _controllers(plan, files)),
                ("kube-scheduler", {}),
            )
        ),
    )


def api_names(plan: Plan) -> list[str]:
    """Everything the API server is called by, for its certificate."""
    addresses = [*plan.control, *plan.api_service, "127.0.0.1", "::1"]
    return [*(f"DNS:{name}" for name in API_NAMES), *(f"IP:{address}" for address in addresses)]


def _etcd(files: Files) -> dict[str, object]:
    return {
        "name": "etcd",
        "data-dir": files.folder / "etcd",
        "listen-client-urls": ETCD,
        "advertise-client-urls": ETCD,
        "listen-peer-urls": "http://127.0.0.1:2380",
        "initial-advertise-peer-urls": "http://127.0.0.1:2380",
        "initial-cluster": "etcd=http://127.0.0.1:2380",
        "log-level": "warn",
        # Survives the end of the process, not of this machine: so does the whole cluster.
        "unsafe-no-fsync": "true",
    }


def _front(files: Files) -> dict[str, object]:
    return {"requestheader-client-ca-file": files.front_authority.certificate}


def _api(plan: Plan, files: Files) -> dict[str, object]:
    return {
        "advertise-address": plan.control[0],
        "bind-address": "::",
        "secure-port": API_PORT,
        "etcd-servers": ETCD,
        "service-cluster-ip-range": ",".join(map(str, plan.service_ranges)),
        "tls-cert-file": files.api.certificate,
        "tls-private-key-file": files.api.key,
        "client-ca-file": files.authority.certificate,
        "service-account-issuer": ISSUER,
        "service-account-key-file": files.tokens.certificate,
        "service-account-signing-key-file": files.tokens.key,
        "authorization-mode": "Node,RBAC",
        # Added to the defaults, among which are PodSecurity and ValidatingAdmissionPolicy.
        "enable-admission-plugins": "NodeRestriction",
        "allow-privileged": "true",
        "kubelet-certificate-authority": files.authority.certificate,
        "kubelet-client-certificate": files.kubelet_client.certificate,
        "kubelet-client-key": files.kubelet_client.key,
        "kubelet-preferred-address-types": "InternalIP",
        # It is on no node, so no kube-proxy serves it: webhooks are dialled at pod addresses.
        "enable-aggregator-routing": "true",
        "proxy-client-cert-file": files.front_client.certificate,
        "proxy-client-key-file": files.front_client.key,
        **_front(files),
        "requestheader-allowed-names": "front-proxy-client",
        "requestheader-username-headers": "X-Remote-User",
        "requestheader-group-headers": "X-Remote-Group",
        "requestheader-extra-headers-prefix": "X-Remote-Extra-",
        "audit-policy-file": files.audit_policy,
        "audit-log-path": files.audit_log,
        "audit-log-maxsize": 512,
    }


def _client(component: str, files: Files) -> dict[str, object]:
    kubeconfig = files.kubeconfig(component)
    return {
        "kubeconfig": kubeconfig,
        "authentication-kubeconfig": kubeconfig,
        "authorization-kubeconfig": kubeconfig,
        **_front(files),
        "client-ca-file": files.authority.certificate,
        "bind-address": "127.0.0.1",
        # There is only one of each: waiting for a lease that a killed one left would cost seconds.
        "leader-elect": "false",
    }


def _controllers(plan: Plan, files: Files) -> dict[str, object]:
    masks = [pods.prefixlen for pods in plan.nodes[0].pod_ranges]
    if len(masks) == 1:
        sizes: dict[str, object] = {"node-cidr-mask-size": masks[0]}
    else:
        sizes = {"node-cidr-mask-size-ipv6": masks[0], "node-cidr-mask-size-ipv4": masks[1]}
    return {
        "allocate-node-cidrs": "true",
        "cluster-cidr": ",".join(map(str, plan.pod_ranges)),
        "service-cluster-ip-range": ",".join(map(str, plan.service_ranges)),
        **sizes,
        "root-ca-file": files.authority.certificate,
        "cluster-signing-cert-file": files.authority.certificate,
        "cluster-signing-key-file": files.authority.key,
        "service-account-private-key-file": files.tokens.key,
        "use-service-account-credentials": "true",
    }

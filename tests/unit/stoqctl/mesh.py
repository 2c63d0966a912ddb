"""A small healthy mesh, as objects of an API server."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from stoqctl.judge.install import GROUP, KINDS
from unit.stoqctl.apiserver import ApiServer

SYSTEM = "/api/v1/namespaces/stoq-system"
IMAGE = "localhost/stoq/sidecar:1"
NOW = datetime.now(UTC)


def certificate(days: float) -> bytes:
    """PEM of a certificate that ends in so many days."""
    key = Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    builder = x509.CertificateBuilder(
        issuer_name=name,
        subject_name=name,
        public_key=key.public_key(),
        serial_number=1,
        not_valid_before=NOW - timedelta(days=400),
        not_valid_after=NOW + timedelta(days=days),
    )
    return builder.sign(key, None).public_bytes(Encoding.PEM)


def pod(name: str, namespace: str = "shop", **spec: Any) -> dict[str, Any]:
    """A pod with a sidecar that is ready."""
    init = [
        {"name": "stoq-sidecar", "image": IMAGE, "restartPolicy": "Always"},
        {"name": "stoq-init", "image": IMAGE},
    ]
    containers = [
        {"name": "main", "image": "app:1", "ports": [{"name": "sql", "containerPort": 5432}]}
    ]
    return {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {"app": name.partition("-")[0]},
            "uid": f"uid-{name}",
        },
        "spec": {
            "serviceAccountName": name.partition("-")[0],
            "initContainers": init,
            "containers": containers,
            **spec,
        },
        "status": {
            "phase": "Running",
            "initContainerStatuses": [
                {"name": "stoq-sidecar", "ready": True, "restartCount": 0, "state": {}}
            ],
        },
    }


def established(crd: str) -> dict[str, Any]:
    return {
        "spec": {"group": GROUP, "versions": [{"name": "v1alpha1", "served": True}]},
        "status": {"conditions": [{"type": "Established", "status": "True"}]},
        "metadata": {"name": crd},
    }


def fill(server: ApiServer) -> None:
    """A mesh in which nothing is wrong: two pods in `shop`."""
    for kind in KINDS:
        path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{kind}.{GROUP}"
        server.put(path, **established(f"{kind}.{GROUP}"))
    server.put(
        "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/stoq-injector",
        webhooks=[{"clientConfig": {"caBundle": base64.b64encode(certificate(300)).decode()}}],
    )
    pem = base64.b64encode(certificate(80)).decode()
    key = base64.b64encode(b"-----BEGIN PRIVATE KEY-----\nhush\n-----END PRIVATE KEY-----").decode()
    server.put(f"{SYSTEM}/secrets/stoq-webhook-tls", data={"tls.crt": pem, "tls.key": key})
    server.put(f"{SYSTEM}/secrets/stoq-ca", data={"state": key})
    server.put(
        "/apis/apps/v1/namespaces/stoq-system/deployments/stoq-operator",
        spec={"replicas": 2, "template": pod("stoq-operator", "stoq-system")},
        status={"readyReplicas": 2},
    )
    renewed = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    server.put(
        "/apis/coordination.k8s.io/v1/namespaces/stoq-system/leases/stoq-operator",
        spec={"holderIdentity": "stoq-operator-1", "renewTime": renewed},
    )
    server.put(f"/apis/{GROUP}/v1alpha1/meshconfigs/default", spec={"trustDomain": "cluster.local"})
    server.put("/api/v1/namespaces/stoq-system", metadata={"labels": {}})
    server.put("/api/v1/namespaces/shop", metadata={"labels": {"stoq.dev/inject": "enabled"}})
    server.put("/api/v1/namespaces/other", metadata={"labels": {"team": "ops"}})
    bundle = certificate(3000).decode()
    server.put("/api/v1/namespaces/shop/configmaps/stoq-trust", data={"bundle.pem": bundle})
    for name in ("web-0", "db-0"):
        server.put(f"/api/v1/namespaces/shop/pods/{name}", **pod(name))
    operator = pod("stoq-operator-1", "stoq-system", serviceAccountName="stoq-operator")
    operator["spec"]["initContainers"] = []
    operator["spec"]["containers"] = [{"name": "operator", "image": "op"}]
    server.put(f"{SYSTEM}/pods/stoq-operator-1", **operator)
    server.put(
        "/api/v1/nodes/node0",
        status={
            "conditions": [{"type": "Ready", "status": "True"}],
            "nodeInfo": {"operatingSystem": "linux"},
        },
    )

"""Numbers and names that two or more parts must agree on.

The ports sit in a block that no other mesh uses (Istio 15000-15090, Linkerd 4140-4191). Values
here are the protocol or the shape of a pod, not tuning: tuning lives in the settings of each
program.
"""

from typing import Final

VERSION: Final = "0.1.0"
"""Of the distribution; a constant because importlib.metadata costs an idle sidecar a megabyte. A
test compares it with pyproject.toml."""

ADMIN_PORT: Final = 14000
"""TCP, loopback only: /config /connections /log-level /drain."""

OUTBOUND_PORT: Final = 14001
"""TCP: the application's outbound connections are redirected here."""

PROBE_PORT: Final = 14002
"""TCP, never listened on: capture redirects loopback connections to it to `OUTBOUND_PORT`,
which proves that the rules are in force."""

INBOUND_PORT: Final = 14006
"""TCP: plaintext that arrives at the pod is redirected here."""

STOQ_PORT: Final = 14008
"""UDP: STOQ between workloads, mutually authenticated."""

CONTROL_PORT: Final = 14012
"""UDP: STOQ to the registry and the certificate authority."""

METRICS_PORT: Final = 14020
"""TCP: /metrics /healthz/ready /healthz/live."""

WEBHOOK_METRICS_PORT: Final = 14021
"""TCP: the admission webhook's /metrics and /healthz, beside the operator's in one pod."""

NODE_METRICS_PORT: Final = 14022
"""TCP: the node agent's /metrics and /healthz, in the node's own network."""

WEBHOOK_PORT: Final = 14443
"""TCP, HTTPS: the admission webhook."""

DNS_PORT: Final = 14053
"""UDP and TCP, loopback only: the resolver of service records."""

SIDECAR_UID: Final = 14008
"""User and group of the sidecar; capture lets this user's traffic out as it is."""

ALPN: Final = "stoq/1"
"""TLS application protocol of STOQ revision 1."""

SYSTEM_NAMESPACE: Final = "stoq-system"
"""Kubernetes namespace (and SPIFFE namespace) of the control plane."""

OPERATOR_SERVICE_ACCOUNT: Final = "stoq-operator"
"""Service account of the control plane, the last part of its SPIFFE id."""

ROTATE_ANNOTATION: Final = "stoq.dev/rotate"
"""Annotation of the Secret stoq-ca by which somebody asks for a new root; its value is when, in RFC
3339. The operator removes it when it has made one."""


def operator_spiffe_id(trust_domain: str) -> str:
    """The identity that the registry and the certificate authority of `trust_domain` present."""
    return f"spiffe://{trust_domain}/ns/{SYSTEM_NAMESPACE}/sa/{OPERATOR_SERVICE_ACCOUNT}"

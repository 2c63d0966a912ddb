"""Names that the injected parts of a pod, the chart and the operator agree on."""

from typing import Final

from stoq import constants

LABEL: Final = "stoq.dev/inject"
"""Label of namespaces and pods: `enabled`, or `disabled` on a pod to stay out."""

ENABLED: Final = "enabled"
DISABLED: Final = "disabled"

PREFIX: Final = "stoq.dev/"
"""Of all our labels and annotations."""

STATUS: Final = "stoq.dev/status"
"""Annotation that says, as JSON, what was injected."""

DEFAULT_CONTAINER: Final = "kubectl.kubernetes.io/default-container"
DEFAULT_LOGS_CONTAINER: Final = "kubectl.kubernetes.io/default-logs-container"
MIRROR: Final = "kubernetes.io/config.mirror"
"""Annotation of the kubelet's mirror of a static pod."""

NODES_GROUP: Final = "system:nodes"
"""Group of the kubelets, the only ones whose word on `MIRROR` counts."""

INIT: Final = "stoq-init"
SIDECAR: Final = "stoq-sidecar"
READY: Final = "stoq-ready"
OWN: Final = frozenset({INIT, SIDECAR, READY})
VOLUME: Final = "stoq-identity"

MOUNT_PATH: Final = "/var/run/stoq"
"""Where the sidecar finds `token` and `bundle.pem`."""

TRUST_CONFIG_MAP: Final = "stoq-trust"
"""ConfigMap of each enrolled namespace; the key is `bundle.pem`."""

AUDIENCE: Final = "stoq.dev"
"""Whom the projected token is for: nobody but our certificate authority accepts it."""

TOKEN_SECONDS: Final = 3600
"""Life of the projected token; the kubelet renews it at four fifths."""

METRICS_PORT_NAME: Final = "stoq-metrics"
"""Port of the sidecar container that a PodMonitor names."""

PORTS: Final = frozenset(
    {
        constants.ADMIN_PORT,
        constants.OUTBOUND_PORT,
        constants.PROBE_PORT,
        constants.INBOUND_PORT,
        constants.STOQ_PORT,
        constants.METRICS_PORT,
        constants.DNS_PORT,
    }
)
"""Ports of the pod that the sidecar takes, or that capture gives a meaning."""

NEVER: Final = frozenset({"kube-system", constants.SYSTEM_NAMESPACE})
"""Namespaces that are never meshed: what the mesh itself needs to come up."""

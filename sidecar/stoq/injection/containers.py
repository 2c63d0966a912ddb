"""The injected containers and their volume, as the API server takes them. Pure.

Each passes the check of Pod Security it can: the sidecar and `stoq-ready` `restricted`, `stoq-init`
only `privileged`, since it must program the pod's network namespace. In capture mode `node` the
agent of the pod's node does that, and there is no `stoq-init`.

The sidecar stands first, and one container behind it holds back the rest of the pod until it is
ready: `stoq-init`, or `stoq-ready` where there is none. Not both: the kubelet takes up to a second
to see that a container has ended (docs/decisions/0059).
"""

from collections.abc import Sequence
from typing import Any, Final

from stoq import constants
from stoq.injection import names
from stoq.injection.annotations import AnnotationError, Wishes, check_limits
from stoq.injection.config import Config

Object = dict[str, Any]

BROKER_SECONDS: Final = 600
"""How long the sidecar waits for the node agent before it ends and the kubelet starts it again.
Long: it tries again by itself, and a restart only adds the kubelet's back-off to an outage."""

READY_UID: Final = 65534
"""User of `stoq-ready`: nobody. Not the sidecar's, whose traffic capture lets out."""

_SHARED: Final[Object] = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


AGENT_UID: Final = 0
"""User of the node agent, whom alone the sidecar believes to be its broker."""


def injected(config: Config, wishes: Wishes, probed: Sequence[int] = ()) -> tuple[Object, ...]:
    """The containers, in their order. `probed` are the ports that the kubelet dials. Raises
    `AnnotationError`.
    """
    _captures_udp(config, wishes)
    sidecar = sidecar_container(config, wishes, probed)
    if config.capture == "node":
        return (sidecar, ready_container(config, wishes))
    return (sidecar, init_container(config, wishes, probed))


def init_container(config: Config, wishes: Wishes, probed: Sequence[int] = ()) -> Object:
    """`stoq-init`: programs capture, gives up its privileges, and ends once the sidecar is ready,
    as `stoq-ready` does. `probed` as for the sidecar. Raises `AnnotationError`.
    """
    return {
        "name": names.INIT,
        "image": config.init_image,
        "imagePullPolicy": config.pull_policy,
        "command": ["stoq-init", "--wait"],
        "env": _environment(config, wishes, probed),
        "resources": _resources(config, wishes),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            **_SHARED,
            "runAsUser": 0,
            "runAsGroup": 0,
            "runAsNonRoot": False,
            "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN", "NET_RAW"]},
        },
    }


def sidecar_container(config: Config, wishes: Wishes, probed: Sequence[int] = ()) -> Object:
    """`stoq-sidecar`: a native sidecar (KEP-753). `probed` are the ports that the kubelet dials.
    Raises `AnnotationError`.
    """
    return {
        "name": names.SIDECAR,
        "image": config.sidecar_image,
        "imagePullPolicy": config.pull_policy,
        "command": ["stoq-sidecar"],
        "restartPolicy": "Always",
        "env": _environment(config, wishes, probed),
        "ports": [
            {
                "name": names.METRICS_PORT_NAME,
                "containerPort": constants.METRICS_PORT,
                "protocol": "TCP",
            }
        ],
        "resources": _resources(config, wishes),
        # For a sidecar that starts again: its pod takes no connections of Services until it is
        # ready. The first start is for the container behind it to wait for, without the rhythm of
        # a startup probe. There is no liveness probe: the engine carries traffic also while the
        # agent is busy, for which the pod must not be taken out of its Services either.
        "readinessProbe": {
            "httpGet": {"path": "/healthz/ready?wait=0.9", "port": constants.METRICS_PORT},
            "periodSeconds": 2,
            "timeoutSeconds": 2,
            "failureThreshold": 30,
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            **_SHARED,
            "runAsUser": constants.SIDECAR_UID,
            "runAsGroup": constants.SIDECAR_UID,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": names.VOLUME, "mountPath": names.MOUNT_PATH, "readOnly": True},
        ],
    }


def ready_container(config: Config, wishes: Wishes) -> Object:
    """`stoq-ready`, in capture mode `node`: ends once the sidecar is ready, which is after a
    connection has really come back through capture. The containers behind it, the application's
    among them, start then. Raises `AnnotationError`.
    """
    return {
        "name": names.READY,
        "image": config.sidecar_image,
        "imagePullPolicy": config.pull_policy,
        "command": ["stoq-ready"],
        "resources": _resources(config, wishes),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            **_SHARED,
            "runAsUser": READY_UID,
            "runAsGroup": READY_UID,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }


def identity_volume() -> Object:
    """Token and bundle. The bundle is not optional: a pod without it could trust nobody, so it
    waits for the operator instead.
    """
    token = {
        "path": "token",
        "audience": names.AUDIENCE,
        "expirationSeconds": names.TOKEN_SECONDS,
    }
    bundle = {
        "name": names.TRUST_CONFIG_MAP,
        "optional": False,
        "items": [{"key": "bundle.pem", "path": "bundle.pem"}],
    }
    return {
        "name": names.VOLUME,
        "projected": {"sources": [{"serviceAccountToken": token}, {"configMap": bundle}]},
    }


def _environment(config: Config, wishes: Wishes, probed: Sequence[int]) -> list[Object]:
    """Settings of `stoq-sidecar` and `stoq-init`, which read the same variables."""
    fixed = {
        "STOQ_CONTROL_ADDRESS": config.control_address,
        "STOQ_IDENTITY_TRUST_DOMAIN": config.trust_domain,
        "STOQ_LOG_LEVEL": wishes.log_level or config.log_level,
        "STOQ_LOG_FORMAT": config.log_format,
        "STOQ_LOG_ACCESS": config.log_access,
    }
    asked = {
        "STOQ_CAPTURE_EXCLUDE_OUTBOUND_PORTS": wishes.exclude_outbound_ports,
        "STOQ_CAPTURE_EXCLUDE_OUTBOUND_NETWORKS": wishes.exclude_outbound_cidrs,
        "STOQ_CAPTURE_EXCLUDE_INBOUND_PORTS": wishes.exclude_inbound_ports,
        "STOQ_CAPTURE_PROBE_PORTS": ",".join(map(str, probed)),
        "STOQ_POD_INBOUND": wishes.inbound,
        "STOQ_POD_OUTBOUND": wishes.outbound,
        "STOQ_CAPTURE_CLIENT_ADDRESS": wishes.client_address,
        "STOQ_LINK_IPV6_ONLY": "true" if config.ipv6_only else "",
        "STOQ_IDENTITY_PROFILE": "" if config.profile == "hybrid-1024" else config.profile,
        "STOQ_DISCOVERY_SIGNED": "" if config.discovery_signed == "prefer" else "require",
    }
    from_pod = {
        "STOQ_POD_NAME": "metadata.name",
        "STOQ_POD_NAMESPACE": "metadata.namespace",
        "STOQ_POD_SERVICE_ACCOUNT": "spec.serviceAccountName",
        "STOQ_POD_NODE": "spec.nodeName",
        "STOQ_POD_HOST_ADDRESSES": "status.hostIPs",
    }
    if config.capture == "node":
        # The agent may be on its way to this node.
        asked |= {
            "STOQ_CAPTURE_MODE": "node",
            "STOQ_CAPTURE_BROKER_UID": str(AGENT_UID),
            "STOQ_CAPTURE_BROKER_SECONDS": str(BROKER_SECONDS),
            # Always said: a sidecar that is told `on` takes no sockets without those for UDP.
            "STOQ_CAPTURE_UDP": "on" if _captures_udp(config, wishes) else "off",
            "STOQ_CAPTURE_EXCLUDE_OUTBOUND_UDP_PORTS": wishes.exclude_outbound_udp_ports,
            "STOQ_CAPTURE_EXCLUDE_INBOUND_UDP_PORTS": wishes.exclude_inbound_udp_ports,
        }
    given = {name: value for name, value in asked.items() if value}
    return [
        *(
            {"name": name, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}}
            for name, path in from_pod.items()
        ),
        *({"name": name, "value": value} for name, value in (fixed | given).items()),
    ]


def _captures_udp(config: Config, wishes: Wishes) -> bool:
    """Whether the pod's UDP is captured. Raises `AnnotationError` where it would have to be, and
    nobody can.
    """
    possible = config.capture == "node" and config.capture_udp
    if wishes.capture_udp == "on" and not possible:
        raise AnnotationError(
            f"annotation {names.PREFIX}capture-udp is 'on', but this mesh captures no UDP: that "
            "takes capture.mode=node and capture.udp=true of the chart; or remove it"
        )
    return possible and wishes.capture_udp != "off"


def _resources(config: Config, wishes: Wishes) -> Object:
    """Of the sidecar, and as much of the container behind it, so that a pod of class Guaranteed
    stays one. That runs beside the sidecar and before the application: a pod whose application
    asks for less than the sidecar is counted as if it asked for as much.
    """
    requests = {
        "cpu": wishes.cpu_request or config.cpu_request,
        "memory": wishes.memory_request or config.memory_request,
    }
    limits = {
        "cpu": wishes.cpu_limit or config.cpu_limit,
        "memory": wishes.memory_limit or config.memory_limit,
    }
    requests = {name: amount for name, amount in requests.items() if amount}
    limits = {name: amount for name, amount in limits.items() if amount}
    check_limits(requests, limits)
    return {name: part for name, part in (("requests", requests), ("limits", limits)) if part}

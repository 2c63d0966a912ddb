"""What the API server's answer to a TokenReview proves. Pure.

A pod proves itself by its projected service-account token, which is made for our audience and bound
to the pod. A token authenticates for a second or so after its pod is gone, and the pods we know may
be older or newer than the token: only what both agree on counts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from stoq.records.workload import Workload
from stoq_operator.attest import Refusal, Refused

AUDIENCE: Final = "stoq.dev"
"""Tokens for another audience, such as the API server's own, prove nothing here: whoever receives
those could pass for the pod."""

POD_NAME: Final = "authentication.kubernetes.io/pod-name"
POD_UID: Final = "authentication.kubernetes.io/pod-uid"


@dataclass(frozen=True, slots=True)
class Proven:
    """The pod whose token it is."""

    namespace: str
    name: str
    uid: str
    service_account: str


def review(token: str) -> dict[str, Any]:
    """The TokenReview that asks about `token`."""
    return {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "spec": {"token": token, "audiences": [AUDIENCE]},
    }


def proven(status: Mapping[str, Any]) -> Proven:
    """The pod that the review's `status` names. Raises `Refused`."""
    if not status.get("authenticated"):
        why = status.get("error") or "it is expired, or was made for another audience"
        raise Refused(Refusal.TOKEN, f"the API server does not accept the token: {why}")
    if AUDIENCE not in (status.get("audiences") or ()):
        raise Refused(Refusal.TOKEN, f"the token was not made for the audience {AUDIENCE}")
    user = status.get("user") or {}
    extra = user.get("extra") or {}
    match str(user.get("username", "")).split(":"):
        case ["system", "serviceaccount", namespace, account]:
            name, uid = _only(extra.get(POD_NAME)), _only(extra.get(POD_UID))
            if name and uid:
                return Proven(namespace, name, uid, account)
    raise Refused(
        Refusal.TOKEN, "the token is not bound to a pod; use the projected one of the sidecar"
    )


def holder(found: Proven, pods: Mapping[str, Workload]) -> Workload:
    """The pod among `pods` (by uid) that the token proves. Raises `Refused`.

    One that is not there may come in a moment: the token can be ahead of the watch.
    """
    pod = pods.get(found.uid)
    name = f"{found.namespace}/{found.name}"
    if pod is None:
        raise Refused(
            Refusal.UNKNOWN, f"pod {name} (uid {found.uid}) is not known here, or has ended"
        )
    known = (pod.metadata.namespace, pod.metadata.name, pod.spec.service_account)
    if known != (found.namespace, found.name, found.service_account):
        raise Refused(
            Refusal.IDENTITY,
            f"the token says pod {name} of service account {found.service_account}, and uid "
            f"{found.uid} is pod {known[0]}/{known[1]} of {known[2]}",
        )
    return pod


def _only(values: object) -> str:
    return values[0] if isinstance(values, list) and len(values) == 1 else ""

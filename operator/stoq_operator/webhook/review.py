"""From an AdmissionReview to its answer (admission.k8s.io/v1). Pure."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import msgspec

from stoq.injection.config import Config
from stoq.injection.decide import Injected, Outcome, Refused, Skipped, decide
from stoq.injection.obstacles import pod_security
from stoq_operator.webhook.notices import Notice, notice

VERSION: Final = "admission.k8s.io/v1"

NOTICED: Final = frozenset({"host_network", "windows"})
"""Reasons for leaving a pod out that its author may not know of."""

Object = dict[str, Any]
Labels = Mapping[str, str]


class ReviewError(ValueError):
    """The request is no AdmissionReview of a pod; the text says what it lacks."""


class _User(msgspec.Struct, frozen=True):
    groups: tuple[str, ...] = ()


class _Request(msgspec.Struct, frozen=True, rename="camel"):
    uid: str
    object: Object
    namespace: str = ""
    dry_run: bool = False
    user_info: _User = _User()


class _Review(msgspec.Struct, frozen=True, rename="camel"):
    api_version: str
    request: _Request


@dataclass(frozen=True, slots=True)
class Answer:
    """`body` for the API server; `outcome` and `reason` for the metrics; `notice` for the pod's
    author, `None` where there is none to give or the request is a dry run.
    """

    body: bytes
    outcome: str
    reason: str
    notice: Notice | None = None


def answer(body: bytes, config: Config, namespaces: Mapping[str, Labels]) -> Answer:
    """The answer to the AdmissionReview in `body`; `namespaces` are the labels known of each.

    Raises `ReviewError`.
    """
    request = _request(body)
    pod, namespace = request.object, request.namespace
    outcome = decide(pod, namespace, config, request.user_info.groups)
    kind, reason = _named(outcome)
    found = None
    response: Object = {
        "uid": request.uid,
        "allowed": not isinstance(outcome, Refused),
        "auditAnnotations": {"outcome": f"{kind}: {reason}" if reason else kind},
    }
    if isinstance(outcome, Refused):
        response["status"] = {
            "code": HTTPStatus.UNPROCESSABLE_ENTITY,
            "reason": "Invalid",
            "message": f"STOQ can not mesh this pod: {outcome.why}",
        }
    elif isinstance(outcome, Skipped):
        if outcome.reason in NOTICED:
            found = notice(pod, namespace, "NotMeshed", f"not meshed: {outcome.why}")
    else:
        if outcome.patch:
            response["patchType"] = "JSONPatch"
            response["patch"] = base64.b64encode(msgspec.json.encode(outcome.patch)).decode()
        if why := pod_security(namespaces.get(namespace, {}), config.capture):
            found = notice(pod, namespace, "RefusedByPodSecurity", f"can not be meshed: {why}")
    if found is not None:
        response["warnings"] = [f"stoq: {found.message}"]
    review = {"apiVersion": VERSION, "kind": "AdmissionReview", "response": response}
    return Answer(msgspec.json.encode(review), kind, reason, None if request.dry_run else found)


def _request(body: bytes) -> _Request:
    try:
        review = msgspec.json.decode(body, type=_Review)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ReviewError(f"no AdmissionReview with a request: {error}") from None
    if review.api_version != VERSION:
        raise ReviewError(f"apiVersion is {review.api_version!r}: only {VERSION} is known here")
    kind = review.request.object.get("kind")
    if kind != "Pod":
        raise ReviewError(f"the object is a {kind!r}: only pods are injected")
    return review.request


def _named(outcome: Outcome) -> tuple[str, str]:
    match outcome:
        case Injected(patch=patch):
            return ("injected" if patch else "unchanged"), ""
        case Skipped(reason=reason):
            return "skipped", reason
        case Refused(reason=reason):
            return "refused", reason

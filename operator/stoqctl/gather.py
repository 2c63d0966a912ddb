"""Asks the API server for what the checks go by; nothing is judged here."""

import base64
from collections.abc import Iterator
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from stoq import constants
from stoq.injection import names
from stoqctl.errors import Refused
from stoqctl.judge.agents import AGENT
from stoqctl.judge.facts import Facts
from stoqctl.judge.install import CAPABILITIES, GROUP, KINDS, OPERATOR, VERSION, WEBHOOK

if TYPE_CHECKING:
    from stoqctl.kube import Cluster

Object = dict[str, Any]

SYSTEM: Final = f"/api/v1/namespaces/{constants.SYSTEM_NAMESPACE}"
APPS: Final = f"/apis/apps/v1/namespaces/{constants.SYSTEM_NAMESPACE}"
LEASES: Final = f"/apis/coordination.k8s.io/v1/namespaces/{constants.SYSTEM_NAMESPACE}/leases"
WEBHOOKS: Final = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
NETWORKING: Final = "/apis/networking.k8s.io/v1"
OURS: Final = f"/apis/{GROUP}/{VERSION}"

NEEDED: Final = (
    ("create", "apiextensions.k8s.io", "customresourcedefinitions"),
    ("create", "admissionregistration.k8s.io", "mutatingwebhookconfigurations"),
    ("create", "admissionregistration.k8s.io", "validatingadmissionpolicies"),
    ("create", "rbac.authorization.k8s.io", "clusterroles"),
    ("create", "rbac.authorization.k8s.io", "clusterrolebindings"),
    ("create", "", "namespaces"),
    ("create", "apps", "deployments"),
    ("create", "apps", "daemonsets"),
    ("create", "", "secrets"),
)
"""Rights that the chart's installation needs: verb, API group, resource."""


class Gatherer:
    """Reads, and remembers what it was not allowed to read."""

    def __init__(self, cluster: "Cluster", namespaces: tuple[str, ...] = ()) -> None:
        """`namespaces`: those that are asked about; none: all enrolled ones."""
        self._cluster = cluster
        self._chosen = namespaces
        self._denied: list[str] = []

    def facts(self, *, rights: bool = False) -> Facts:
        """Everything for the checks. Raises `Unreachable`, and `Refused` for other reasons than a
        lack of rights.
        """
        enrolled = self._enrolled()
        places = [item["metadata"]["name"] for item in enrolled]
        crds = self._list("/apis/apiextensions.k8s.io/v1/customresourcedefinitions")
        ours = {item["metadata"]["name"]: item for item in crds if item["spec"]["group"] == GROUP}
        return Facts(
            version=self._cluster.get("/version"),
            crds=ours,
            webhook=self._find(f"{WEBHOOKS}/{WEBHOOK}"),
            serving_pem=self._certificate(),
            deployment=self._find(f"{APPS}/deployments/{OPERATOR}"),
            lease=self._find(f"{LEASES}/{OPERATOR}"),
            agents=self._find(f"{APPS}/daemonsets/{AGENT}"),
            capabilities=(
                self._list(f"{OURS}/{CAPABILITIES}") if f"{CAPABILITIES}.{GROUP}" in ours else []
            ),
            meshes=self._list(f"{OURS}/meshconfigs") if f"meshconfigs.{GROUP}" in ours else [],
            enrolled=enrolled,
            bundles=dict(self._bundles(places)),
            pods=[pod for place in places for pod in self.pods(place)],
            network_policies=[
                policy
                for place in (*places, constants.SYSTEM_NAMESPACE)
                for policy in self._list(f"{NETWORKING}/namespaces/{place}/networkpolicies")
            ],
            nodes=self._list("/api/v1/nodes"),
            rights=dict(self._rights()) if rights else {},
            denied=tuple(self._denied),
        )

    def pods(self, namespace: str) -> list[Object]:
        """The pods of a namespace."""
        return self._list(f"/api/v1/namespaces/{namespace}/pods")

    def records(self, *kinds: str, namespace: str = "") -> list[Object]:
        """Objects of ours, each with its kind; of all kinds that are installed when none is named.
        In one namespace when that is named.
        """
        found = []
        for kind in kinds or KINDS:
            cluster_wide = kind in {"hopgateways", "meshconfigs", "revocations"}
            if cluster_wide and namespace:
                continue
            path = f"{OURS}/namespaces/{namespace}/{kind}" if namespace else f"{OURS}/{kind}"
            # A list's items have no kind of their own.
            found += [{"kind": _KIND[kind], **item} for item in self._list(path)]
        return found

    def _enrolled(self) -> list[Object]:
        if self._chosen:
            found = [self._find(f"/api/v1/namespaces/{place}") for place in self._chosen]
            missing = [n for n, item in zip(self._chosen, found, strict=True) if item is None]
            if missing:
                raise Refused(
                    f"there is no namespace {', '.join(missing)}; see kubectl get namespaces",
                    HTTPStatus.NOT_FOUND,
                )
            return [item for item in found if item is not None]
        return self._list("/api/v1/namespaces", labelSelector=f"{names.LABEL}={names.ENABLED}")

    def _bundles(self, places: list[str]) -> Iterator[tuple[str, bytes]]:
        for place in places:
            found = self._find(f"/api/v1/namespaces/{place}/configmaps/{names.TRUST_CONFIG_MAP}")
            if found is not None and "bundle.pem" in (found.get("data") or {}):
                yield place, found["data"]["bundle.pem"].encode()

    def _certificate(self) -> bytes:
        """The webhook's certificate; its key, which comes with it, is let go at once."""
        secret = self._find(f"{SYSTEM}/secrets/stoq-webhook-tls")
        return base64.b64decode((secret or {}).get("data", {}).get("tls.crt", ""))

    def _rights(self) -> Iterator[tuple[str, bool]]:
        for verb, group, resource in NEEDED:
            review = {
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SelfSubjectAccessReview",
                "spec": {
                    "resourceAttributes": {"verb": verb, "group": group, "resource": resource}
                },
            }
            path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
            yield f"{verb} {resource}", self._cluster.create(path, review)["status"]["allowed"]

    def _find(self, path: str) -> Object | None:
        try:
            return self._cluster.find(path)
        except Refused as error:
            self._note(error)
            return None

    def _list(self, path: str, **query: str) -> list[Object]:
        try:
            return list(self._cluster.list(path, **query))
        except Refused as error:
            if error.code != HTTPStatus.NOT_FOUND:
                self._note(error)
            return []

    def _note(self, error: Refused) -> None:
        if error.code != HTTPStatus.FORBIDDEN:
            raise error
        self._denied.append(str(error))


_KIND: Final = {
    "accesspolicies": "AccessPolicy",
    "hopgateways": "HopGateway",
    "meshconfigs": "MeshConfig",
    "revocations": "Revocation",
    "servicerecords": "ServiceRecord",
    "transportpolicies": "TransportPolicy",
}
"""Kinds by the plural that paths have."""

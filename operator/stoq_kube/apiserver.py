"""The API server as its users see it, whatever client talks to it."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, Protocol

from stoq_kube.meta import Place, Raw

FIELD_MANAGER: Final = "stoq-operator"
"""Owner of what the operator writes by server-side apply."""

APPLY: Final = "application/apply-patch+yaml"
PATCH: Final = "application/json-patch+json"


class ApiError(Exception):
    """The API server said no; `status` is HTTP's, 0 where there was none."""

    def __init__(self, text: str, status: int = 0) -> None:
        super().__init__(text)
        self.status = status

    @property
    def missing(self) -> bool:
        """Whether there is no such object."""
        return self.status == HTTPStatus.NOT_FOUND

    @property
    def conflict(self) -> bool:
        """Whether somebody else was quicker."""
        return self.status == HTTPStatus.CONFLICT


class Unreachable(ApiError):
    """The API server gave no answer; it may come back."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of object, as URLs name it."""

    plural: str
    group: str = ""
    version: str = "v1"
    namespaced: bool = True

    def __str__(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def path(self, name: str, namespace: str = "", *, part: str = "") -> str:
        """URL path of an object, of the list when `name` is empty, or of a subresource `part`."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        place = f"/namespaces/{namespace}" if self.namespaced else ""
        steps = [step for step in (self.plural, name, part) if step]
        return "/".join([f"{root}{place}", *steps])


PODS: Final = Kind("pods")
SERVICES: Final = Kind("services")
NAMESPACES: Final = Kind("namespaces", namespaced=False)
NODES: Final = Kind("nodes", namespaced=False)
SLICES: Final = Kind("endpointslices", "discovery.k8s.io")
SECRETS: Final = Kind("secrets")
CONFIG_MAPS: Final = Kind("configmaps")
EVENTS: Final = Kind("events")
LEASES: Final = Kind("leases", "coordination.k8s.io")
TOKEN_REVIEWS: Final = Kind("tokenreviews", "authentication.k8s.io", namespaced=False)
WEBHOOKS: Final = Kind(
    "mutatingwebhookconfigurations", "admissionregistration.k8s.io", namespaced=False
)


def _ours(plural: str, *, namespaced: bool = True) -> Kind:
    return Kind(plural, "stoq.dev", "v1alpha1", namespaced)


RECORDS: Final = {
    "ServiceRecord": _ours("servicerecords"),
    "TransportPolicy": _ours("transportpolicies"),
    "AccessPolicy": _ours("accesspolicies"),
    "HopGateway": _ours("hopgateways", namespaced=False),
    "MeshConfig": _ours("meshconfigs", namespaced=False),
    "Revocation": _ours("revocations", namespaced=False),
}
"""Our own kinds that users write, by the name in manifests."""

NODE_CAPABILITIES: Final = _ours("nodecapabilities", namespaced=False)
"""What node agents write."""


@dataclass(frozen=True, slots=True)
class Changed:
    """An object is there, new, different or as before."""

    object: Raw


@dataclass(frozen=True, slots=True)
class Deleted:
    """An object is gone; this is what it last was."""

    object: Raw


@dataclass(frozen=True, slots=True)
class Listed:
    """All objects there are have come: the watch began, or began again after a gap. Others that
    came before it are gone.
    """

    there: frozenset[Place]
    """Those of the list, and of nothing before it."""


Event = Changed | Deleted | Listed


class Client(Protocol):
    """Talks to the API server."""

    def watch(
        self,
        kind: Kind,
        *,
        namespace: str = "",
        name: str = "",
        node: str = "",
        report: Callable[[str], None] | None = None,
    ) -> AsyncIterator[Event]:
        """Every object of `kind` as `Changed`, then `Listed`, then changes as they happen, for
        ever; after a gap again every object, and `Listed`.

        `namespace` and `name` narrow it, and pods `node`, on which they run. While the API server
        is away, or says no, nothing comes; `report` is told why, and with an empty text that it is
        over.
        """

    async def request(
        self, method: str, path: str, body: object = None, *, media: str = "application/json"
    ) -> dict[str, Any]:
        """The answer to one request; `path` begins with a slash. Raises `ApiError`, and
        `Unreachable` when there was none.
        """


async def apply(
    client: Client, kind: Kind, manifest: Raw, *, part: str = "", manager: str = FIELD_MANAGER
) -> None:
    """Server-side apply: what `manifest` says is so, and the `manager`'s; other fields stay. Raises
    `ApiError`.
    """
    found = manifest["metadata"]
    path = kind.path(found["name"], found.get("namespace", ""), part=part)
    await client.request(
        "patch", f"{path}?fieldManager={manager}&force=true", manifest, media=APPLY
    )

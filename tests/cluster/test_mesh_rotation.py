"""A new root takes the place of the old one, from beginning to end, under load."""

import json
import time
from base64 import b64decode, b64encode
from collections.abc import Iterator

import pytest

from cluster.access import Cluster, stoqctl
from cluster.mesh import Mesh, eventually, sidecar_roots
from cluster.pods import WAIT, pod
from cluster.traffic import no_request_fails, talking
from stoq.pem import certificates
from stoq_operator.rotation import OVERLAP

pytestmark = pytest.mark.timeout(600)

SVID_SECONDS = 60
"""Life of the certificates: with it ends the life of the old root. A slow machine has a third of it
for the next ones.
"""

ROTATED_SECONDS = 3 * SVID_SECONDS


@pytest.fixture(scope="module")
def hasty(mesh: Mesh) -> Iterator[Cluster]:
    """Peers that talk, whose certificates live for some seconds only."""

    def live(seconds: int) -> None:
        patch = json.dumps({"spec": {"svidTtlSeconds": seconds}})
        mesh.cluster.kubectl("patch", "stoqmc", "default", "--type=merge", f"--patch={patch}")

    before = mesh.cluster.get("stoqmc", "default")["spec"].get("svidTtlSeconds", 86400)
    live(SVID_SECONDS)
    try:
        with mesh.namespace() as namespace:
            yield talking(namespace)
    finally:
        live(before)


def files(mesh: Mesh) -> dict[str, bytes]:
    found = mesh.system.get("secret", "stoq-ca")["data"]
    return {name: b64decode(text) for name, text in found.items()}


def roots(mesh: Mesh) -> dict[str, str]:
    """Names of the roots by what they are for."""
    return {each["phase"]: each["name"] for each in json.loads(files(mesh)["roots.json"])}


def certificate(mesh: Mesh, name: str) -> bytes:
    return certificates(files(mesh)[f"{name}.crt"].decode())[0]


def a_day_passes(mesh: Mesh) -> None:
    """For the root that waits: the Secret says that it has waited for long enough."""
    kept = json.loads(files(mesh)["roots.json"])
    for each in kept:
        if each["phase"] == "next":
            each["since"] = int(time.time()) - OVERLAP
    data = {"roots.json": b64encode(json.dumps(kept).encode()).decode()}
    mesh.system.kubectl(
        "patch", "secret", "stoq-ca", "--type=merge", f"--patch={json.dumps({'data': data})}"
    )


def trusted(cluster: Cluster) -> set[bytes]:
    """The roots that a new pod begins with."""
    return set(certificates(cluster.get("configmap", "stoq-trust")["data"]["bundle.pem"]))


def test_a_root_is_rotated_and_no_request_is_lost(hasty: Cluster, mesh: Mesh) -> None:
    old = roots(mesh)["signing"]
    with no_request_fails(hasty):
        status, said = stoqctl(hasty, "rotate")
        assert status == 0, said
        new = eventually(lambda: roots(mesh)["next"])
        both = {certificate(mesh, old), certificate(mesh, new)}
        eventually(lambda: trusted(hasty) == both)
        # As all do long before a day is over.
        for each in ("client", "web", "asks"):
            eventually(lambda pod=each: sidecar_roots(hasty, pod) == len(both))
        a_day_passes(mesh)
        eventually(lambda: roots(mesh) == {"signing": new, "old": old})
        # Signed by the new root, it talks to those that still live on the old one.
        hasty.apply(pod("newcomer", WAIT))
        hasty.ready("newcomer")
        assert hasty.fetch("newcomer", "http://web/") == "hello"
        eventually(lambda: roots(mesh) == {"signing": new}, ROTATED_SECONDS)
        eventually(lambda: trusted(hasty) == {certificate(mesh, new)})
        assert hasty.fetch("client", "http://web/") == "hello"

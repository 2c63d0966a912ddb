"""Secrets of the mesh are lost, run out or are replaced while traffic goes on."""

import json
from base64 import b64decode, b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509

from cluster.access import Cluster, Failed
from cluster.mesh import OPERATOR, Mesh, eventually, rolled_out, sidecar_page
from cluster.pods import WAIT, pod
from cluster.processes import Container
from cluster.traffic import no_request_fails
from stoq_operator.webhookpki import LIFE, make

pytestmark = pytest.mark.timeout(600)

ROOTS = "stoq-ca"
SERVING = "stoq-webhook-tls"
TICKETS = "stoq-tickets"

WRITTEN_SECONDS = 60.0
"""From the loss of the roots to their being there again; the leader looks every second, and the
machine may be slow.
"""

AGAIN_SECONDS = 120.0
"""From the end of all replicas to all sidecars' having heard the next ones."""

ADMITTED_SECONDS = 90.0
"""From the loss of the webhook's certificate to the next pod; the leader looks every 10 seconds."""


def content(mesh: Mesh, name: str) -> dict[str, str]:
    return dict(mesh.system.get("secret", name)["data"])


def test_deleted_roots_are_written_back_as_they_were(pair: Cluster, mesh: Mesh) -> None:
    before = content(mesh, ROOTS)
    with no_request_fails(pair):
        mesh.system.kubectl("delete", "secret", ROOTS)
        assert eventually(lambda: content(mesh, ROOTS), WRITTEN_SECONDS) == before
        pair.apply(pod("newcomer", WAIT))
        pair.ready("newcomer")
        assert pair.fetch("newcomer", "http://web/") == "hello"


def test_ticket_keys_that_were_deleted_are_made_anew_and_sidecars_come_back_without_their_tickets(
    pair: Cluster, mesh: Mesh
) -> None:
    def heard() -> dict[str, Any]:
        """How often the sidecars have come back to the registry, and whether they are there."""
        return {each: sidecar_page(pair, each, "config")["discovery"] for each in ("client", "web")}

    before, reconnects = content(mesh, TICKETS), {k: v["reconnects"] for k, v in heard().items()}
    with no_request_fails(pair):
        mesh.system.kubectl("delete", "secret", TICKETS)
        assert eventually(lambda: content(mesh, TICKETS), WRITTEN_SECONDS) != before
        # Whoever was served by them dials again, with a ticket that nobody can open.
        for each in mesh.system.get("pods", f"--selector={OPERATOR}")["items"]:
            Container(mesh.system, each["metadata"]["name"], "operator").kill()
        eventually(
            lambda: all(
                now["reconnects"] > reconnects[each] and not now["stale"]
                for each, now in heard().items()
            ),
            AGAIN_SECONDS,
        )
    rolled_out(mesh.system, "stoq-operator")


def delete(mesh: Mesh) -> None:
    mesh.system.kubectl("delete", "secret", SERVING)


def expire(mesh: Mesh) -> None:
    """What a year without an operator leaves behind."""
    names = x509.load_pem_x509_certificate(b64decode(content(mesh, SERVING)["tls.crt"]))
    found = names.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    past = make(
        tuple(found.get_values_for_type(x509.DNSName)), datetime.now(UTC) - LIFE - timedelta(days=1)
    )
    files = {name: b64encode(item).decode() for name, item in past.files.items()}
    mesh.system.kubectl(
        "patch", "secret", SERVING, "--type=merge", f"--patch={json.dumps({'data': files})}"
    )


@pytest.mark.parametrize("lose", [delete, expire])
def test_without_a_good_certificate_of_the_webhook_pods_wait_and_are_let_in_soon(
    pair: Cluster, mesh: Mesh, lose: Callable[[Mesh], None]
) -> None:
    before = content(mesh, SERVING)
    made: list[dict[str, Any]] = []
    refusals: list[str] = []

    def renewed_and_trusted() -> bool:
        made.append(pod(f"{lose.__name__}-{len(made)}", WAIT))
        try:
            pair.apply(made[-1])
        except Failed as error:
            refusals.append(str(error))
            made.pop()
            return False
        now = content(mesh, SERVING)
        return now["ca.crt"] != before["ca.crt"] and mesh.webhook_trusted() and valid(now)

    with no_request_fails(pair):
        lose(mesh)
        eventually(renewed_and_trusted, ADMITTED_SECONDS)
        last = made[-1]["metadata"]["name"]
        pair.ready(last)
        assert pair.fetch(last, "http://web/") == "hello"
    # What refused others is the webhook that could not be asked, or the lock behind it.
    assert all("stoq" in each for each in refusals), refusals
    for each in made:
        containers = pair.get("pod", each["metadata"]["name"])["spec"]["initContainers"]
        names = [item["name"] for item in containers]
        assert names == ["stoq-sidecar", "stoq-init"]


def valid(files: dict[str, str]) -> bool:
    certificate = x509.load_pem_x509_certificate(b64decode(files["tls.crt"]))
    return certificate.not_valid_after_utc > datetime.now(UTC)

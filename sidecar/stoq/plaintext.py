"""What a sidecar says of the plaintext that it sends: a page of its own, small and quickly made.

The node agent holds it against what the kernel has counted on the pod's link (`stoq_node.ledger`).
"""

from typing import Annotated, Final

import msgspec

PATH: Final = "/plaintext"
"""On the port of the metrics."""

Count = Annotated[int, msgspec.Meta(ge=0)]


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Each but `connections` only grows for as long as `instance` is the same."""

    instance: str
    """Drawn when the sidecar starts."""
    sent_bytes: Count
    """Handed to TCP in plaintext towards whoever is outside the pod, because policy lets it pass.
    What has left the pod is in here, or will be within moments; what is in here may still leave.
    """
    connections: Count
    """Connections in plaintext that are open now."""
    retransmitted_bytes: Count
    """That TCP has sent again, of whatever connection in the pod; this many at most."""
    datagram_bytes: Count | None = None
    """Payload of UDP that the kernel was given to send in plaintext; what has left the pod is in
    here. None from a sidecar that is older than this field.
    """


def encode(figures: Figures) -> bytes:
    """The page."""
    return msgspec.json.encode(figures)


def decode(page: bytes) -> Figures:
    """What a page says. Raises `ValueError` that says what is wrong with it."""
    return msgspec.json.decode(page, type=Figures)

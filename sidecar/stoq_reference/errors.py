"""What goes wrong, by whose rule."""

from enum import Enum

from stoq_reference.codes import ConnectionCode


class Malformed(Exception):
    """Bytes are not what docs/wire-format.md says; the text names the element and the value."""


class Reason(Enum):
    """Why a peer may not speak: the TLS alert that says so inside the handshake, and the code of
    CONNECTION_CLOSE that says so later (docs/wire-format.md, H9).
    """

    NO_CERTIFICATE = (116, ConnectionCode.UNAUTHORISED)
    BAD_CERTIFICATE = (42, ConnectionCode.UNAUTHORISED)
    OTHER_TRUST_DOMAIN = (48, ConnectionCode.UNAUTHORISED)
    UNKNOWN_ROOT = (48, ConnectionCode.UNAUTHORISED)
    ROOT_EXPIRED = (48, ConnectionCode.EXPIRED)
    OUTSIDE_VALIDITY = (45, ConnectionCode.EXPIRED)
    REVOKED = (44, ConnectionCode.REVOKED)
    OTHER_FALCON_KEY = (47, ConnectionCode.UNAUTHORISED)
    OTHER_ID = (49, ConnectionCode.UNAUTHORISED)
    BAD_SIGNATURE = (51, ConnectionCode.UNAUTHORISED)

    def __init__(self, alert: int, code: ConnectionCode) -> None:
        self.alert = alert
        self.code = code

    def __repr__(self) -> str:
        return self.name


class Refused(Exception):
    """A peer's certificate or signature is not accepted."""

    def __init__(self, reason: Reason, why: str) -> None:
        super().__init__(why)
        self.reason = reason

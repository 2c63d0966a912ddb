"""What goes wrong, by whose rule."""

from enum import Enum

from stoq_reference.codes import ConnectionCode


class Malformed(Exception):
    """Bytes are not what docs/wire-format.md says; the text names the element and the value."""


class Reason(Enum):
    """Why a peer may not speak: the TLS alert that says so inside the handshake, and the code of
    CONNECTION_CLOSE that says so later (docs/wire-format.md, H9).
    """

    NO_CERTIFICATE = ("no certificate", 116, ConnectionCode.UNAUTHORISED)
    BAD_CERTIFICATE = ("bad certificate", 42, ConnectionCode.UNAUTHORISED)
    OTHER_TRUST_DOMAIN = ("other trust domain", 48, ConnectionCode.UNAUTHORISED)
    UNKNOWN_ROOT = ("unknown root", 48, ConnectionCode.UNAUTHORISED)
    ROOT_EXPIRED = ("root outside its validity", 48, ConnectionCode.EXPIRED)
    OUTSIDE_VALIDITY = ("outside its validity", 45, ConnectionCode.EXPIRED)
    REVOKED = ("revoked", 44, ConnectionCode.REVOKED)
    OTHER_FALCON_KEY = ("other FALCON key", 47, ConnectionCode.UNAUTHORISED)
    OTHER_ID = ("other id", 49, ConnectionCode.UNAUTHORISED)
    OLDER = ("older certificate", 42, ConnectionCode.UNAUTHORISED)
    BAD_SIGNATURE = ("bad signature", 51, ConnectionCode.UNAUTHORISED)

    def __init__(self, text: str, alert: int, code: ConnectionCode) -> None:
        self.text = text
        self.alert = alert
        self.code = code


class Refused(Exception):
    """A peer's certificate or signature is not accepted."""

    def __init__(self, reason: Reason, why: str) -> None:
        super().__init__(why)
        self.reason = reason

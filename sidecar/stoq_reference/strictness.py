"""Rules of certificates that `cryptography` does not look after (docs/wire-format.md, K9)."""

from stoq_reference import der
from stoq_reference.errors import Malformed

KEY_USAGE = bytes.fromhex("0603551d0f")
"""The OBJECT IDENTIFIER 2.5.29.15."""

USAGES = 9
"""Bits of KeyUsage that mean something (RFC 5280, 4.2.1.3)."""

MAX_SERIAL = 20
"""Bytes of the longest serial number."""


def check(tbs: bytes) -> None:
    """Looks at the TBSCertificate of version 3 as it was received. Raises Malformed."""
    _version, serial, *rest = der.only(tbs, der.SEQUENCE).children()
    if int.from_bytes(serial.body, "big", signed=True) <= 0 or len(serial.body) > MAX_SERIAL:
        number = serial.body.hex()
        raise Malformed(
            f"certificate: serial number {number}: positive, at most {MAX_SERIAL} bytes"
        )
    for field in rest:
        if field.tag == der.EXPLICIT_3:
            for extension in der.only(field.body, der.SEQUENCE).children():
                if extension.body.startswith(KEY_USAGE):
                    value = extension.children()[-1]
                    _check_key_usage(der.only(value.body, der.BIT_STRING))


def _check_key_usage(usage: der.Element) -> None:
    """DER ends a BIT STRING of named bits with the last one that is set (X.690, 11.2)."""
    unused, bits = list(usage.body[:1]), int.from_bytes(usage.body[1:], "big")
    last_set = (bits & -bits).bit_length() - 1
    used = 8 * len(usage.body[1:]) - last_set
    if not bits or unused != [last_set] or used > USAGES:
        raise Malformed(f"certificate: KeyUsage {usage.body.hex()} is not DER of usages")

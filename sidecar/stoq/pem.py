"""Certificates in PEM text (RFC 7468). Pure."""

import base64
import binascii
import re
import textwrap
from typing import Final

_BLOCK: Final = re.compile(
    r"-----BEGIN CERTIFICATE-----\s+([A-Za-z0-9+/=\s]+?)\s*-----END CERTIFICATE-----"
)


def certificates(text: str) -> tuple[bytes, ...]:
    """DER of every certificate in `text`; what stands between blocks is explanation.

    Raises ValueError when there is none or one is damaged.
    """
    found = []
    for number, block in enumerate(_BLOCK.findall(text), start=1):
        try:
            found.append(base64.b64decode("".join(block.split()), validate=True))
        except binascii.Error as error:
            raise ValueError(f"certificate {number} is not base64: {error}") from error
    if not found or len(found) != text.count("-----BEGIN CERTIFICATE-----"):
        raise ValueError(
            f"{len(found)} whole PEM certificates of {text.count('-----BEGIN CERTIFICATE-----')} "
            "begun; at least one is needed"
        )
    return tuple(found)


def encode(der: bytes) -> bytes:
    """One certificate as PEM text, in lines of 64 characters (RFC 7468, section 2)."""
    body = "\n".join(textwrap.wrap(base64.b64encode(der).decode("ascii"), 64))
    return f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n".encode("ascii")

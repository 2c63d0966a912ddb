"""When certificates end. Pure."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.x509 import Certificate


class NotACertificate(ValueError):
    """The text has no certificate that can be read."""


def expiries(pem: bytes) -> list[float]:
    """The ends of all certificates in `pem`, Unix seconds. Raises `NotACertificate`."""
    return [item.not_valid_after_utc.timestamp() for item in _certificates(pem)]


def _certificates(pem: bytes) -> "list[Certificate]":
    from cryptography import x509  # only the checks of a cluster need it

    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise NotACertificate(str(error)) from error

"""The webhook's serving certificate, replaced in place without closing a connection."""

import os
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


class CertificateError(Exception):
    """Certificate and key can not be served; the text says why."""


class Serving:
    """A TLS context whose certificate can change: handshakes take the one loaded last."""

    def __init__(self) -> None:
        self.context = _context()
        self._loaded: tuple[str, str] | None = None

    @property
    def ready(self) -> bool:
        """Whether there is a certificate to serve."""
        return self._loaded is not None

    def load(self, certificate: str, key: str) -> bool:
        """Serves `certificate` (PEM, with its chain) from now on; False when it is served already.

        Raises `CertificateError`, and the one before stays in use.
        """
        if (certificate, key) == self._loaded:
            return False
        # First into a context of its own: a key that does not fit must not leave half of it behind.
        for context in (_context(), self.context):
            _load(context, certificate, key)
        self._loaded = (certificate, key)
        return True


def from_secret(data: Mapping[str, bytes]) -> tuple[str, str]:
    """Certificate and key of a Secret of type kubernetes.io/tls. Raises `CertificateError`."""
    try:
        return data["tls.crt"].decode("ascii"), data["tls.key"].decode("ascii")
    except KeyError as error:
        raise CertificateError(f"the Secret has no {error.args[0]}") from None
    except UnicodeDecodeError:
        raise CertificateError("tls.crt and tls.key must be PEM") from None


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def _load(context: ssl.SSLContext, certificate: str, key: str) -> None:
    try:
        with _in_memory(certificate) as chain, _in_memory(key) as private:
            context.load_cert_chain(chain, private)
    except (ssl.SSLError, OSError) as error:
        raise CertificateError(f"certificate and key can not be used: {error}") from None


@contextmanager
def _in_memory(text: str) -> Iterator[str]:
    """A path to `text`: `ssl` reads files only, and a key has no place on a disk."""
    descriptor = os.memfd_create("stoq-webhook-tls", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, text.encode("ascii"))
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)

"""Asks the certificate authority for an SVID.

The call goes over a connection on which only the server has a certificate, so the bearer token is
bound to it: a token taken from one connection proves nothing on another.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from stoq import signing
from stoq.api.client import ApiClient
from stoq.api.errors import ApiError, Unauthorised
from stoq.api.stream import Dialler, Opened, StreamError
from stoq_sidecar.settings import Settings

TIMEOUT: Final = 10.0
"""Seconds for one signing; the CA itself needs about a millisecond."""


class SigningError(Exception):
    """No SVID was given; the text says why and what to check."""


def read_token(file: str) -> str:
    """The bearer token in `file`, without surrounding white space. Raises SigningError."""
    try:
        token = Path(file).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SigningError(
            f"cannot read the token {file!r} (STOQ_IDENTITY_TOKEN_FILE): {error}; in Kubernetes "
            "it is the projected service-account token with audience 'stoq.dev'"
        ) from error
    if not token:
        raise SigningError(f"the token {file!r} (STOQ_IDENTITY_TOKEN_FILE) is empty")
    return token


class CertificateAuthority:
    """The CA behind `dial`, a function that makes a dialler for one connection to it."""

    def __init__(self, dial: Callable[[], Dialler], settings: Settings) -> None:
        self._dial = dial
        self._settings = settings

    async def sign(self, csr: bytes) -> signing.SignResponse:
        """An SVID for the keys in `csr` (DER). Raises SigningError."""
        settings = self._settings
        token = read_token(settings.identity.token_file)
        address = settings.control.address
        try:
            # Opened before the call: its exporter is part of the request.
            stream = await self._dial().open()
            request = signing.SignRequest(
                csr=csr,
                token=token,
                binding=signing.binding(token, stream.exporter(signing.BINDING_LABEL)),
                workload=f"{settings.pod.namespace}/{settings.pod.name}",
                spiffe_id=settings.spiffe_id,
            )
            answer = await ApiClient(Opened(stream)).call(signing.SIGN, request, timeout=TIMEOUT)
        except Unauthorised as error:
            raise SigningError(
                f"the certificate authority at {address} refuses this pod "
                f"({settings.pod.namespace}/{settings.pod.name} as {settings.spiffe_id}): {error}"
            ) from error
        except StreamError as error:
            raise SigningError(
                f"cannot reach the certificate authority at {address}: {error}; check "
                "STOQ_CONTROL_ADDRESS, and that no NetworkPolicy or firewall blocks UDP "
                f"{address.rpartition(':')[2]}"
            ) from error
        except ApiError as error:
            raise SigningError(f"the certificate authority at {address}: {error}") from error
        if answer.spiffe_id != settings.spiffe_id:
            raise SigningError(
                f"the certificate authority gave the identity {answer.spiffe_id}, this pod is "
                f"{settings.spiffe_id}; check STOQ_POD_NAMESPACE, STOQ_POD_SERVICE_ACCOUNT and "
                "STOQ_IDENTITY_TRUST_DOMAIN"
            )
        return answer

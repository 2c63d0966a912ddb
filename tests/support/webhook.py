"""An API server's side of the admission webhook: reviews, certificates, and a client that keeps its
connection as the real one does.
"""

import asyncio
import base64
import datetime as dt
import json
import ssl
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Object = dict[str, Any]


def review(pod: Object, namespace: str = "shop", **request: Any) -> bytes:
    """An AdmissionReview as the API server writes it."""
    body = {
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "namespace": namespace,
            "operation": "CREATE",
            "userInfo": {"username": "admin", "groups": ["system:authenticated"]},
            "object": pod,
            "oldObject": None,
            "dryRun": False,
            **request,
        },
    }
    return json.dumps(body).encode()


def patch_of(response: Object) -> list[Object]:
    """The decoded patch of an admission response."""
    assert response["patchType"] == "JSONPatch"
    found: list[Object] = json.loads(base64.b64decode(response["patch"]))
    return found


def certificate(name: str = "localhost") -> tuple[str, str]:
    """A self-signed certificate and its key, PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return made.public_bytes(serialization.Encoding.PEM).decode(), private.decode()


def trusting(pem: str) -> ssl.SSLContext:
    """A client's context that trusts `pem` and nothing else."""
    return ssl.create_default_context(cadata=pem)


class Connection:
    """One connection over which several requests go."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def post(self, path: str, body: bytes) -> tuple[int, bytes]:
        """Status and body of the answer."""
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
        self._writer.write(head.encode() + body)
        await self._writer.drain()
        answer = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(answer.partition("content-length: ")[2].split("\r\n")[0])
        return int(answer.split()[1]), await self._reader.readexactly(length)

    def serial(self) -> object:
        """Of the certificate that the server showed on this connection."""
        return self._writer.get_extra_info("peercert")["serialNumber"]

    def close(self) -> None:
        self._writer.close()


async def connect(port: int, pem: str) -> Connection:
    return Connection(
        *await asyncio.open_connection(
            "127.0.0.1", port, ssl=trusting(pem), server_hostname="localhost"
        )
    )

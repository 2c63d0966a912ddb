"""`stoqctl probe`: an endpoint, as a second implementation of the wire format sees it."""

import asyncio
import base64
import dataclasses
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from stoq import pem
from stoq.settings.kinds import split_host_and_port
from stoqctl.errors import StoqctlError
from stoqctl.options import Json
from stoqctl.output import console, print_json, table, until

if TYPE_CHECKING:
    from aioquic.quic.logger import QuicLogger

    from stoq_reference.endpoint import Endpoint
    from stoq_reference.probe import Findings

EXAMPLES: Final = (
    "Examples:\n\nstoqctl probe '[fd00::1]:14012' --bundle bundle.pem\n\n"
    "stoqctl probe 10.0.0.7:14008 --bundle bundle.pem --certificate web.pem --key web.key\n\n"
    "stoqctl probe '[fd00::1]:14012' --bundle bundle.pem --qlog ./traces --json"
)

Target = Annotated[
    str, typer.Argument(metavar="ADDRESS", help="[IPv6]:port or IPv4:port.", show_default=False)
]
Bundle = Annotated[
    Path,
    typer.Option("--bundle", metavar="FILE", help="Roots to trust, PEM.", show_default=False),
]
Expect = Annotated[
    str,
    typer.Option("--expect", metavar="ID", help="The SPIFFE id it must have.", show_default=False),
]
Certificate = Annotated[
    Path | None,
    typer.Option("--certificate", metavar="FILE", help="Our certificate, PEM.", show_default=False),
]
Key = Annotated[
    Path | None,
    typer.Option(
        "--key",
        metavar="FILE",
        help="Its keys in base64: the Ed25519 seed, then the FALCON key.",
        show_default=False,
    ),
]
Qlog = Annotated[
    Path | None,
    typer.Option("--qlog", metavar="DIR", help="Write a qlog file there.", show_default=False),
]
Timeout = Annotated[float, typer.Option("--timeout", metavar="SECONDS", help="Time for all of it.")]


def run(
    address: Target,
    bundle: Bundle,
    expect: Expect = "",
    certificate: Certificate = None,
    key: Key = None,
    qlog: Qlog = None,
    timeout: Timeout = 5.0,
    as_json: Json = False,
) -> None:
    """Shake hands with an endpoint, show who it is, and try rules of the wire format on it.

    By an implementation of its own, in Python. Without a certificate only port 14012 talks on;
    others still show who they are. Ends with status 1 if the endpoint cannot be trusted or breaks a
    rule.
    """
    # Imported here: aioquic costs a fifth of a second, which no other verb should.
    from stoq_reference.probe import probe

    host, port = _target(address)
    endpoint = _endpoint(bundle, expect, certificate, key)
    found = asyncio.run(probe(host, port, endpoint, timeout=timeout, qlog=_logger(qlog)))
    if as_json:
        print_json(dataclasses.asdict(found))
    else:
        console().print(table(("", ""), _rows(found, time.time())))
    if not found.answered or not all(found.rules.values()):
        raise typer.Exit(1)


def _rows(found: "Findings", now: float) -> list[tuple[str, str]]:
    rows = [("answered", "yes" if found.answered else "no")]
    if found.answered:
        rows += [
            ("spiffe id", found.spiffe_id),
            ("serial", found.serial),
            ("expires", until(found.not_after, now)),
            ("handshake", f"{found.handshake_seconds * 1000:.0f} ms"),
            ("signature", found.signature),
            ("cipher", found.cipher),
            ("proved our address", "yes" if found.retried else "no"),
            ("revision", str(found.revision or "none: plain QUIC")),
        ]
    rows += [(rule, "yes" if kept else "NO") for rule, kept in found.rules.items()]
    return [*rows, ("closed", found.closed)] if found.closed else rows


def _endpoint(bundle: Path, expect: str, certificate: Path | None, key: Path | None) -> "Endpoint":
    from stoq_reference.authorise import Policy
    from stoq_reference.certificate import parse_root
    from stoq_reference.endpoint import Endpoint, Identity
    from stoq_reference.errors import Malformed

    if (certificate is None) != (key is None):
        raise StoqctlError("--certificate and --key belong together: give both or none")
    identity = None
    roots: dict[str, list[bytes]] = {}
    try:
        for root in pem.certificates(_text(bundle)):
            roots.setdefault(parse_root(root).trust_domain, []).append(root)
        if certificate is not None and key is not None:
            keys = base64.b64decode("".join(_text(key).split()), validate=True)
            identity = Identity.of(pem.certificates(_text(certificate))[0], keys)
    except (Malformed, ValueError) as error:
        raise StoqctlError(f"{error}: see --bundle, --certificate and --key") from None
    return Endpoint(Policy(roots, expect or None), identity)


def _logger(folder: Path | None) -> "QuicLogger | None":
    from aioquic.quic.logger import QuicFileLogger

    if folder is None:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    return QuicFileLogger(str(folder))


def _target(address: str) -> tuple[str, int]:
    try:
        return split_host_and_port(address)
    except ValueError as error:
        raise StoqctlError(
            f"{address!r} is no address ({error}): write [IPv6]:port or IPv4:port"
        ) from None


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise StoqctlError(f"{path} cannot be read: {error.strerror}") from None

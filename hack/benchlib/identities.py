"""Identities for the two Python programs of a benchmark, in a folder that they share."""

import time
from pathlib import Path
from typing import Final

from stoq.engine import CertificateAuthority, HybridKey, TlsContext

TRUST_DOMAIN: Final = "bench.example"
SERVER: Final = f"spiffe://{TRUST_DOMAIN}/ns/bench/sa/server"
CLIENT: Final = f"spiffe://{TRUST_DOMAIN}/ns/bench/sa/client"

LIFE: Final = 7200
"""Seconds that certificates are valid for."""


def make(folder: Path) -> None:
    """Writes a root, and a key and certificate for `server` and `client`."""
    now = int(time.time())
    authority = CertificateAuthority.create(TRUST_DOMAIN, now - 60, now + LIFE)
    (folder / "stoq.root").write_bytes(authority.root)
    for name, spiffe_id in (("server", SERVER), ("client", CLIENT)):
        key = HybridKey.generate()
        certificate = authority.issue(key.csr(), spiffe_id, now - 60, now + LIFE)
        (folder / f"stoq.{name}.key").write_bytes(key.to_bytes())
        (folder / f"stoq.{name}.crt").write_bytes(certificate)


def load(folder: Path, name: str, max_shard: int | None = None) -> TlsContext:
    """The identity of that name; `max_shard` is what it takes of a shard, if it has any."""
    tls = TlsContext(max_shard=max_shard)
    tls.set_trust(TRUST_DOMAIN, [(folder / "stoq.root").read_bytes()])
    key = HybridKey.from_bytes((folder / f"stoq.{name}.key").read_bytes())
    tls.set_identity(key, (folder / f"stoq.{name}.crt").read_bytes())
    return tls

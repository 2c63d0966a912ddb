"""Identities for the example, made on the spot; a mesh has its own authority for this.

python identities.py FOLDER
"""

import sys
import time
from pathlib import Path

from stoq.engine import CertificateAuthority, HybridKey, TlsContext

TRUST_DOMAIN = "example.org"
SERVER = f"spiffe://{TRUST_DOMAIN}/ns/shop/sa/inventory"
CLIENT = f"spiffe://{TRUST_DOMAIN}/ns/shop/sa/web"


def make(folder: Path) -> None:
    """Writes a root, and a key and certificate of an hour for server and client."""
    now = int(time.time())
    authority = CertificateAuthority.create(TRUST_DOMAIN, now - 60, now + 3600)
    (folder / "root").write_bytes(authority.root)
    for name, spiffe_id in (("server", SERVER), ("client", CLIENT)):
        key = HybridKey.generate()
        certificate = authority.issue(key.csr(), spiffe_id, now - 60, now + 3600)
        (folder / f"{name}.key").write_bytes(key.to_bytes())
        (folder / f"{name}.crt").write_bytes(certificate)


def load(folder: Path, name: str, max_shard: int | None = None) -> TlsContext:
    """The identity `server` or `client`, and trust in the root."""
    tls = TlsContext(max_shard=max_shard, mirrors=max_shard is not None)
    tls.set_trust(TRUST_DOMAIN, [(folder / "root").read_bytes()])
    key = HybridKey.from_bytes((folder / f"{name}.key").read_bytes())
    tls.set_identity(key, (folder / f"{name}.crt").read_bytes())
    return tls


if __name__ == "__main__":
    make(Path(sys.argv[1]))

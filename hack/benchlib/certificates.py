"""A root and a leaf for the peers' mutual TLS: ECDSA P-256, the cheapest that meshes use."""

import os
from dataclasses import dataclass
from pathlib import Path

from benchlib.network import RELAY_UID
from lab import command


@dataclass(frozen=True, slots=True)
class Certificates:
    """PEM files that the relays' user can read."""

    root: Path
    certificate: Path
    key: Path

    def options(self) -> list[str]:
        """As the quinn peers take them."""
        files = {"certificate": self.certificate, "key": self.key, "root": self.root}
        return [part for name, path in files.items() for part in (f"--{name}", str(path))]


def make(folder: Path) -> Certificates:
    """Makes both in `folder`; the leaf is valid for a day, for clients and servers."""
    root, root_key = folder / "root.pem", folder / "root.key"
    made = Certificates(root, folder / "leaf.pem", folder / "leaf.key")
    request = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
    ]
    request += ["-nodes", "-days", "1"]
    command.run(
        [
            *request,
            "-subj",
            "/CN=bench root",
            "-keyout",
            str(root_key),
            "-out",
            str(root),
        ]
    )
    leaf = [
        "-subj",
        "/CN=peer",
        "-addext",
        "subjectAltName=DNS:peer,URI:spiffe://bench/ns/b/sa/b",
    ]
    leaf += ["-addext", "basicConstraints=critical,CA:FALSE"]
    leaf += ["-addext", "extendedKeyUsage=serverAuth,clientAuth"]
    leaf += ["-CA", str(root), "-CAkey", str(root_key)]
    command.run([*request, *leaf, "-keyout", str(made.key), "-out", str(made.certificate)])
    os.chown(made.key, RELAY_UID, RELAY_UID)
    return made

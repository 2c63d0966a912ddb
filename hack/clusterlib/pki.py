"""Keys and certificates of a cluster, made with openssl; they live and end with it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.command import run

DAYS = "365"

# Nothing from the machine's own openssl.cnf, whose defaults would mark every certificate as a CA.
_CONFIG = "[req]\ndistinguished_name = name\n[name]\n"
_NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc"]


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, as files."""

    certificate: Path
    key: Path


class Authority:
    """One certificate authority, made on first use and kept in a folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self.own = self._pair(name)
        if self.own.certificate.exists():
            return
        extensions = ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign"]
        self._request(self.own, f"/CN={name}", extensions)

    def issue(
        self, name: str, subject: str, alternatives: Sequence[str] = (), *, server: bool = False
    ) -> Pair:
        """A certificate for a client, or a server too; the one issued before when there is one.

        `subject` is in openssl's form, `/O=group/CN=user`; `alternatives` such as `IP:::1`.
        """
        pair = self._pair(name)
        if pair.certificate.exists():
            return pair
        usages = "clientAuth,serverAuth" if server else "clientAuth"
        extensions = [f"extendedKeyUsage={usages}", "keyUsage=critical,digitalSignature"]
        if alternatives:
            extensions.append(f"subjectAltName={','.join(alternatives)}")
        signer = ["-CA", str(self.own.certificate), "-CAkey", str(self.own.key)]
        self._request(pair, subject, extensions, signer)
        return pair

    def _pair(self, name: str) -> Pair:
        return Pair(self._folder / f"{name}.crt", self._folder / f"{name}.key")

    def _request(
        self, pair: Pair, subject: str, extensions: Sequence[str], signer: Sequence[str] = ()
    ) -> None:
        argv = ["openssl", "req", "-x509", "-config", "/dev/stdin", *_NEW_KEY, *signer]
        argv += ["-days", DAYS, "-subj", subject, "-keyout", str(pair.key)]
        for extension in extensions:
            argv += ["-addext", extension]
        # The certificate appears last: with it, the pair is complete.
        unfinished = pair.certificate.with_suffix(".new")
        run([*argv, "-out", str(unfinished)], stdin=_CONFIG)
        unfinished.replace(pair.certificate)


def signing_key(folder: Path) -> Pair:
    """The key of service-account tokens; `certificate` is its public half."""
    pair = Pair(folder / "tokens.pub", folder / "tokens.key")
    if not pair.certificate.exists():
        curve = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]
        run(["openssl", "genpkey", *curve, "-out", str(pair.key)])
        unfinished = pair.certificate.with_suffix(".new")
        run(["openssl", "pkey", "-in", str(pair.key), "-pubout", "-out", str(unfinished)])
        unfinished.replace(pair.certificate)
    return pair

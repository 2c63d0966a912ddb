"""What the programs do through the mesh, each as a check that held or did not."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from lab import apps
from lab.command import CommandError
from lab.demo.files import Sample
from lab.demo.report import Check, size
from lab.plan import Pod


def attempt(name: str, action: Callable[[], str]) -> Check:
    """A check that holds when `action` returns what to say, and does not when it raises."""
    try:
        return Check(name, ok=True, detail=action())
    except (CommandError, AssertionError, ValueError, KeyError) as error:
        return Check(name, ok=False, detail=str(error).strip())


def fetch(client: Pod, server: Pod, sample: Sample) -> Check:
    """Fetches a file with curl and compares checksums."""

    def action() -> str:
        start = time.monotonic()
        digest = apps.fetch(client, server, sample.name)
        seconds = time.monotonic() - start
        if digest != sample.digest:
            raise ValueError(f"SHA-256 {digest}, expected {sample.digest}")
        return f"checksum equal, {seconds:.2f} s"

    return attempt(f"curl, {size(sample.size)}", action)


def fetch_together(clients: Sequence[Pod], server: Pod, sample: Sample) -> Check:
    """Fetches the same file from several pods at once."""

    def action() -> str:
        with ThreadPoolExecutor(len(clients)) as pool:
            checks = list(pool.map(lambda client: fetch(client, server, sample), clients))
        wrong = [
            f"{client.name}: {check.detail}"
            for client, check in zip(clients, checks, strict=True)
            if not check.ok
        ]
        if wrong:
            raise ValueError("; ".join(wrong))
        return f"checksums equal in {len(clients)} pods"

    return attempt(f"curl, {size(sample.size)} from every pod", action)


def server_first(client: Pod, server: Pod, marker: str) -> Check:
    """Asks PostgreSQL, which greets before it is spoken to, for text and for a large result."""

    def action() -> str:
        answer = apps.psql(client, server, f"select '{marker}'")
        if answer != marker:
            raise ValueError(f"psql printed {answer!r}, expected {marker!r}")
        rows = apps.psql(client, server, "select sum(n) from generate_series(1, 100000) n")
        if rows != "5000050000":
            raise ValueError(f"psql printed {rows!r}, expected 5000050000")
        version = apps.psql(client, server, "show server_version").split()[0]
        return f"PostgreSQL {version} answered psql"

    return attempt("server-first protocol", action)

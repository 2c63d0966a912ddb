"""What `helm test` runs in a meshed pod: talks to another one, and asks its own sidecar how.

The proof is the sidecar's count of connections that it opened with mutual TLS, and that none left
the mesh meanwhile.
"""

import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

from stoq import constants

METRICS: Final = f"http://localhost:{constants.METRICS_PORT}/metrics"

REQUESTS: Final = 10

PATIENCE: Final = 60.0
"""Seconds for the other pod to come up, and for the registry to know it."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Connections of this pod so far, and the suites of those that were encrypted."""

    encrypted: float
    passed: float
    suites: frozenset[str]


def counts(page: str) -> Counts:
    """Read from a sidecar's /metrics."""
    encrypted = passed = 0.0
    suites = set()
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            labels = sample.labels
            if sample.name == "stoq_passthrough_total":
                passed += sample.value
            if (
                sample.name == "stoq_tcp_connections_opened_total"
                and labels.get("reporter") == "source"
                and labels.get("connection_security_policy") == "mutual_tls"
            ):
                encrypted += sample.value
                suites.add(f"{labels.get('key_exchange')} {labels.get('signature')}")
    return Counts(encrypted, passed, frozenset(suites))


def verdict(before: Counts, after: Counts, requests: int) -> str:
    """What is wrong; empty when every request was encrypted."""
    if after.passed > before.passed:
        return f"{after.passed - before.passed:g} connections left the mesh in plaintext"
    if after.encrypted - before.encrypted < requests:
        return (
            f"{requests} requests were answered, and the sidecar encrypted only "
            f"{after.encrypted - before.encrypted:g} connections"
        )
    return ""


def main(arguments: Sequence[str]) -> int:
    """`arguments` are the URL to fetch; returns the exit status."""
    (url,) = arguments
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            before = counts(_fetch(METRICS))
            for _ in range(REQUESTS):
                _fetch(url)
            problem = verdict(before, after := counts(_fetch(METRICS)), REQUESTS)
        except (OSError, urllib.error.URLError) as error:
            problem = f"{url}: {error}"
        else:
            if not problem:
                print(f"{REQUESTS} connections to {url}, all encrypted: {', '.join(after.suites)}")
                return 0
        if time.monotonic() > deadline:
            print(f"not proven: {problem}", file=sys.stderr)
            return 1
        time.sleep(1)


def _fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310  (http, from the chart)
        text: str = answer.read().decode()
    return text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

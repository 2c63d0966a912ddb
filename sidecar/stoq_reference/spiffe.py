"""SPIFFE ids: `spiffe://<trust domain>/ns/<namespace>/sa/<service account>`, byte for byte."""

import re

from stoq_reference.errors import Malformed

MAX_LENGTH = 2048
MAX_TRUST_DOMAIN = 255

TRUST_DOMAIN = re.compile(rf"spiffe://([a-z0-9._-]{{1,{MAX_TRUST_DOMAIN}}})")
SEGMENT = r"(?!\.\.?(?:/|\Z))[A-Za-z0-9._-]+"
WORKLOAD = re.compile(rf"{TRUST_DOMAIN.pattern}/ns/{SEGMENT}/sa/{SEGMENT}")


def trust_domain_of_workload(uri: str) -> str:
    """The trust domain of a workload's id. Raises Malformed."""
    if len(uri) > MAX_LENGTH or not (match := WORKLOAD.fullmatch(uri)):
        raise Malformed(
            f"{uri!r} is no id of a workload: spiffe://<domain>/ns/<namespace>/sa/<account>"
        )
    return match[1]


def trust_domain_of_root(uri: str) -> str:
    """The trust domain that a root is of. Raises Malformed."""
    if not (match := TRUST_DOMAIN.fullmatch(uri)):
        raise Malformed(f"{uri!r} is no id of a trust domain: spiffe://<domain>")
    return match[1]

"""The outcome of one check."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Finding:
    """`detail` is what was found, `fix` what mends it; a good finding needs none."""

    name: str
    ok: bool
    detail: str
    fix: str = ""


def document(findings: Sequence[Finding]) -> dict[str, Any]:
    """What `--json` prints."""
    return {"ok": all(item.ok for item in findings), "checks": [asdict(item) for item in findings]}

"""Gathers what `parts` decides on."""

import os
from pathlib import Path
from typing import Final

from stoq_node.facts import effective
from stoq_node.trace.parts import BTF, LATENCY, TRACEFS, TRACEPOINTS, Machine

PACKAGES: Final = ("usr/lib/python3/dist-packages", "usr/lib*/python3.*/site-packages")
"""Where distributions keep packages of the system's own Python, below /."""

_DEBUGFS: Final = "/sys/kernel/debug/tracing"


def look() -> Machine:
    """What this machine has."""
    tracefs = _tracefs()
    events = Path(tracefs) / "events"
    return Machine(
        release=os.uname().release,
        capabilities=effective(
            Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        ),
        bcc=_bcc(),
        tracefs=tracefs,
        tracepoints=frozenset(
            name for name in (*TRACEPOINTS, *LATENCY) if tracefs and (events / name).is_dir()
        ),
        btf=Path(BTF).exists(),
    )


def _bcc() -> str:
    for place in PACKAGES:
        # Not any package of that name: the one that binds to libbcc.
        for found in sorted(Path("/").glob(f"{place}/bcc/libbcc.py")):
            return str(found.parent)
    return ""


def _tracefs() -> str:
    # BCC looks in this order.
    for place in (_DEBUGFS, TRACEFS):
        try:
            if (Path(place) / "events").is_dir():
                return place
        except PermissionError:
            continue
    return ""

"""What an idle sidecar may load: every module costs memory in every pod."""

import subprocess
import sys

FORBIDDEN = (
    "kubernetes", "kopf", "cryptography", "pydantic", "aiohttp", "yaml", "watchfiles", "typer",
    "rich", "importlib.metadata", "msgpack", "requests",
)  # fmt: skip

BUDGET_MB = 40
"""Resident memory with everything imported, debug engine included: 45 MB is the budget of the idle
sidecar with its engine running."""


def test_the_sidecar_loads_little_and_nothing_that_it_must_not() -> None:
    script = (
        "import sys\n"
        "import stoq_sidecar.__main__, stoq_sidecar.app\n"
        "print(' '.join(sys.modules))\n"
        "print(next(l.split()[1] for l in open('/proc/self/status') if l.startswith('VmRSS')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    modules, resident = done.stdout.splitlines()
    loaded = set(modules.split())
    assert not loaded.intersection(FORBIDDEN)
    assert not [name for name in loaded if name.startswith(("stoq_operator", "stoqctl"))]
    assert int(resident) / 1024 < BUDGET_MB

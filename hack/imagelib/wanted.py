"""What can be asked of hack/images. Needs nothing but Python, so that `--help` always works."""

from dataclasses import dataclass
from pathlib import Path

SHIPPED = ("operator", "sidecar", "node")
"""What a cluster needs. stoq-init is in the sidecar's image too."""

TARGETS = (*SHIPPED, "init")

LOCKS = {"operator": "requirements-operator.lock", "node": "requirements-node.lock"}
"""The lock that an image is filled by, if it is not the sidecar's."""

CRATES = {"node": ("stoq-python", "stoq-kernel")}
"""The crates that the compiled parts of an image are made of, if not the engine's alone."""


def lock(target: str) -> str:
    """Name of the lock of an image."""
    return LOCKS.get(target, "requirements-sidecar.lock")


def crates(target: str) -> tuple[str, ...]:
    """Names of the crates at the root of its compiled parts."""
    return CRATES.get(target, ("stoq-python",))


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for."""

    targets: tuple[str, ...]
    registry: str
    """What stands before the names: `localhost/stoq`."""
    tag: str
    folder: Path
    """Where the archives go."""
    builder: str | None = None
    """docker or buildah; None: docker where its daemon answers."""
    base: str | None = None
    """An image of a Debian with Python; None: the Dockerfile's, or one made of packages."""

"""What can be asked of hack/images. Needs nothing but Python, so that `--help` always works."""

from dataclasses import dataclass
from pathlib import Path

SHIPPED = ("operator", "sidecar")
"""What a cluster needs. stoq-init is in the sidecar's image too."""

TARGETS = (*SHIPPED, "init")


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

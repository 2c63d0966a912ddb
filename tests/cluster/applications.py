"""An image with unmodified servers and their clients, of Debian's packages.

`python -m cluster.applications` makes it ahead of the tests.
"""

from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from cluster.access import HACK, hack_cluster

SERVERS: Final = ("libfaketime", "postgresql", "python3-minimal", "redis-server", "redis-tools")
"""What is run through the mesh, and the clock that differs."""

_MADE_OF: Final = sha256(" ".join(SERVERS).encode()).hexdigest()[:12]

TAG: Final = f"localhost/stoq/applications:{_MADE_OF}"


def archive() -> Path:
    """The image, as `hack/cluster load` reads it; kept in .stoq: Debian is downloaded once."""
    kept = HACK.parents[1] / ".stoq" / f"applications-{_MADE_OF}.tar"
    if not kept.exists():
        kept.parent.mkdir(exist_ok=True)
        with TemporaryDirectory(prefix=".applications-", dir=kept.parent) as folder:
            fresh = Path(folder) / "image.tar"
            hack_cluster("image", TAG, fresh, *SERVERS)
            fresh.rename(kept)
    return kept


if __name__ == "__main__":
    archive()

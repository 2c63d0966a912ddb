"""What there is of each cluster, on disk before it is made, so that it can be removed exactly."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from clusterlib.progress import ClusterError

PROVIDERS = ("modules", "kind")


def root() -> Path:
    """Where clusters are kept: STOQ_CLUSTER_ROOT, else /var/lib/stoq-cluster."""
    return Path(os.environ.get("STOQ_CLUSTER_ROOT", "/var/lib/stoq-cluster"))


@dataclass
class Record:
    """One cluster. Every change is on disk before it returns."""

    name: str
    provider: str
    nodes: int
    family: str
    index: int
    programs: str
    """Folder of the build that it runs; it stays with it when the checkout moves on."""
    images: str
    """Folder of the images that every node has from the start."""
    processes: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Machine -> id and start time of the process that holds its namespaces."""

    @property
    def folder(self) -> Path:
        """Everything the cluster keeps."""
        return root() / self.name

    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self.folder / "kubeconfig"

    def save(self) -> None:
        """Writes the record: whole or not at all."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o755)
        fresh = self.folder / "cluster.json.new"
        fresh.write_text(json.dumps(asdict(self), indent=1))
        fresh.replace(self.folder / "cluster.json")


def find(name: str) -> Record | None:
    """The record of a cluster; None when there is none. Raises ClusterError when it is damaged."""
    file = root() / name / "cluster.json"
    try:
        kept = json.loads(file.read_text())
        processes = {who: (int(pid), int(at)) for who, (pid, at) in kept["processes"].items()}
        return Record(**{**kept, "processes": processes})
    except FileNotFoundError:
        return None
    except (TypeError, ValueError, KeyError) as error:
        raise ClusterError(f"{file}: not the record of a cluster: {error}") from error


def everyone() -> list[Record]:
    """All clusters of this machine."""
    found = (find(file.parent.name) for file in sorted(root().glob("*/cluster.json")))
    return [record for record in found if record is not None]


@contextmanager
def lock() -> Iterator[None]:
    """One change at a time, of all clusters: they share numbers and this machine's network."""
    root().mkdir(parents=True, exist_ok=True)
    handle = os.open(root(), os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
        if not any(root().iterdir()):
            root().rmdir()
    finally:
        os.close(handle)

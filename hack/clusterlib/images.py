"""Container images without a registry and without a builder: an archive as `docker save` writes it.

The same content always gives the same bytes, so an image that did not change has the same id.
"""

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lab.command import run

PAUSE = "localhost/pause:local"
COREDNS = "localhost/coredns:local"
BUSYBOX = "localhost/busybox:local"
"""busybox alone: `sh`, `httpd`, `wget`, `nc`, `nslookup` and the rest, for tests."""

_SCRATCH = "tmp"
"""The folder of every image that anyone may write to."""

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True)
class Image:
    """What an image consists of."""

    name: str
    files: Mapping[str, bytes]
    """Absolute path -> content; executable."""
    links: Mapping[str, str] = field(default_factory=dict)
    """Absolute path -> what the symbolic link there points to."""
    texts: Mapping[str, str] = field(default_factory=dict)
    """Absolute path -> content; not executable."""
    base: Sequence[bytes] = ()
    """Finished layers, as tar archives, that the files come on top of."""
    entrypoint: Sequence[str] = ()
    command: Sequence[str] = ()
    user: str = ""


def pause(program: bytes) -> Image:
    """The container that holds a pod's namespaces while the others come and go."""
    return Image(PAUSE, {"/pause": program}, entrypoint=["/pause"], user="65535:65535")


def coredns(program: bytes) -> Image:
    """The cluster's DNS."""
    return Image(COREDNS, {"/coredns": program}, entrypoint=["/coredns"])


def busybox(program: bytes, names: Sequence[str]) -> Image:
    """A shell and the small tools that tests use, each a link to the one program."""
    accounts = {
        "/etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n",
        "/etc/group": "root:x:0:\nnogroup:x:65534:\n",
    }
    links = {f"/bin/{name}": "busybox" for name in names if name != "busybox"}
    return Image(BUSYBOX, {"/bin/busybox": program}, links, accounts, command=["sh"])


def applets(program: Path) -> list[str]:
    """The names under which a busybox program does different things."""
    return run([str(program), "--list"]).stdout.split()


def write(target: Path, image: Image) -> None:
    """Writes the archive; `ctr images import`, `docker load` and kind read it."""
    layers = {_sha256(layer): layer for layer in (*image.base, *_own_layers(image))}
    config = json.dumps(
        {
            "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
            "os": "linux",
            "config": {
                "User": image.user,
                "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
                "Entrypoint": list(image.entrypoint),
                "Cmd": list(image.command),
            },
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in layers]},
            "history": [{"created_by": "hack/cluster"} for _ in layers],
        }
    ).encode()
    manifest = [
        {
            "Config": f"{_sha256(config)}.json",
            "RepoTags": [image.name],
            "Layers": [f"{digest}/layer.tar" for digest in layers],
        }
    ]
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as archive:
        for digest, layer in layers.items():
            _add(archive, f"{digest}/layer.tar", layer)
        _add(archive, f"{_sha256(config)}.json", config)
        _add(archive, "manifest.json", json.dumps(manifest).encode())


def _own_layers(image: Image) -> list[bytes]:
    if image.base and not (image.files or image.links or image.texts):
        return []
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for folder in [*_folders([*image.files, *image.links, *image.texts]), _SCRATCH]:
            entry = tarfile.TarInfo(folder)
            entry.type = tarfile.DIRTYPE
            entry.mode = 0o1777 if folder == _SCRATCH else 0o755
            archive.addfile(entry)
        for path, content in image.files.items():
            _add(archive, path.lstrip("/"), content, mode=0o755)
        for path, text in image.texts.items():
            _add(archive, path.lstrip("/"), text.encode())
        for path, points_to in image.links.items():
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.type = tarfile.SYMTYPE
            entry.linkname = points_to
            archive.addfile(entry)
    return [buffer.getvalue()]


def _folders(paths: Sequence[str]) -> list[str]:
    """Every folder on the way to the paths, parents first, without the root."""
    parents = {str(parent).lstrip("/") for path in paths for parent in Path(path).parents}
    return sorted(parents - {""})


def _add(archive: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    entry.mode = mode
    archive.addfile(entry, io.BytesIO(content))


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()

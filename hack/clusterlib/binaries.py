"""The programs of a cluster, built from their Go modules and kept by what they were built from.

hack/kube/go.mod names every version and go.sum the hash of every file that is compiled: Go refuses
to build from anything else. A finished build is a folder in the cache named after all that it was
made from; it is complete or not there.
"""

import hashlib
import json
import os
import platform
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from clusterlib import images, packages
from clusterlib.progress import ClusterError, step
from lab.command import CommandError, run

REPOSITORY = Path(__file__).resolve().parents[2]
MODULE = REPOSITORY / "hack" / "kube"
_SOURCES = ("go.mod", "go.sum", "coredns/main.go")

# The module of etcd's server ends in a name that says nothing.
_BUILT_AS = {"etcd": "server"}
_OURS = {"coredns": "./coredns"}

ON_KIND = ("helm", "kind", "kubectl")
"""What a cluster of kind's needs."""


# Storage drivers for file systems that no node of ours has; and the tracing pages of gRPC, whose
# templates keep the linker from leaving out what nobody calls.
_TAGS = "no_btrfs,no_devmapper,no_zfs,grpcnotrace"

BUILD_SECONDS = 3600.0
"""Far above the slowest build: the limit is for one that hangs."""


def cache() -> Path:
    """Where finished builds are kept: `stoq/kube` in XDG_CACHE_HOME or ~/.cache."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home) / "stoq" / "kube"


def version(module: str) -> str:
    """The version of `module` that go.mod asks for, such as `v1.36.3`."""
    found = re.search(
        rf"^\s*(?:require )?{re.escape(module)} (v\S+)",
        (MODULE / "go.mod").read_text(),
        re.MULTILINE,
    )
    if found is None:
        raise ClusterError(f"hack/kube/go.mod names no version of {module}")
    return found[1]


def linker_flags() -> str:
    """Strips symbols and writes into each program the version it would have had from its makers."""
    kubernetes = version("k8s.io/kubernetes")
    major, minor = kubernetes.removeprefix("v").split(".")[:2]
    component = "k8s.io/component-base/version"
    variables = {
        f"{component}.gitVersion": kubernetes,
        f"{component}.gitMajor": major,
        f"{component}.gitMinor": minor,
        "github.com/containerd/containerd/v2/version.Version": version(
            "github.com/containerd/containerd/v2"
        ),
        "helm.sh/helm/v4/internal/version.version": version("helm.sh/helm/v4"),
    }
    return " ".join(["-s -w", *(f"-X {name}={text}" for name, text in variables.items())])


def tools() -> dict[str, str]:
    """Program -> package, of all that go.mod lists as tools, and our own CoreDNS."""
    block = (MODULE / "go.mod").read_text().partition("\ntool (\n")[2].partition("\n)")[0]
    names = {built: ours for ours, built in _BUILT_AS.items()}
    found = dict(_OURS)
    for package in block.split():
        last = re.sub(r"/v[0-9]+$", "", package).rpartition("/")[2]
        found[names.get(last, last)] = package
    return found


def programs(provider: str) -> list[str]:
    """What is built for a cluster by this provider (record.PROVIDERS)."""
    return list(ON_KIND) if provider == "kind" else sorted(set(tools()) - {"kind"})


@dataclass(frozen=True, slots=True)
class Build:
    """What `up` runs, finished and kept in the cache."""

    programs: Path
    """A folder with `bin` in it."""
    images: Path
    """A folder of archives."""


def ensure(provider: str) -> Build:
    """Builds what is missing for clusters of this provider.

    Raises ClusterError with the end of what the compiler said, or when there is no Go.
    """
    packages.install()
    made_from = [provider, _go_version(), platform.machine(), _TAGS, linker_flags()]
    module = [(MODULE / name).read_bytes() for name in _SOURCES]
    programs_in = cache() / _digest([*(text.encode() for text in made_from), *module])
    with _unfinished(programs_in) as fresh:
        if fresh is not None:
            with step("programs, from their Go modules (minutes, once)"):
                (fresh / "bin").mkdir()
                _compile(fresh / "bin", programs(provider))
    recipe = Path(images.__file__).read_bytes()
    images_in = programs_in / f"images-{_digest([recipe, packages.fingerprint().encode()])}"
    with _unfinished(images_in) as fresh:
        if fresh is not None:
            with step("images"):
                _images(programs_in / "bin", fresh, provider)
    return Build(programs_in, images_in)


@contextmanager
def _unfinished(target: Path) -> Iterator[Path | None]:
    """A folder to fill that becomes `target` when all went well; None when that is there."""
    if target.exists():
        yield None
        return
    # Two builds at once: both are whole and the same, so either may stay.
    with TemporaryDirectory(prefix=".new-", dir=_made(target.parent)) as scratch:
        fresh = Path(scratch) / target.name
        fresh.mkdir()
        yield fresh
        try:
            fresh.rename(target)
        except OSError:
            if not target.exists():
                raise


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _digest(parts: list[bytes]) -> str:
    whole = hashlib.sha256()
    for part in parts:
        whole.update(len(part).to_bytes(8, "big") + part)
    return whole.hexdigest()[:16]


def _compile(target: Path, wanted: list[str]) -> None:
    packages_of = tools()
    argv = ["go", "build", "-mod=readonly", "-trimpath", "-buildvcs=false", "-tags", _TAGS]
    argv += [
        "-ldflags",
        linker_flags(),
        "-o",
        f"{target}/",
        *(packages_of[name] for name in wanted),
    ]
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "", "GOWORK": "off"}
    try:
        done = subprocess.run(
            argv,
            cwd=MODULE,
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            timeout=BUILD_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ClusterError(f"go build: no end within {BUILD_SECONDS:g} s") from error
    if done.returncode != 0:
        raise ClusterError(f"go build in hack/kube failed:\n{done.stderr[-4000:]}")
    for ours, built in _BUILT_AS.items():
        if ours in wanted:
            (target / built).rename(target / ours)
    missing = [name for name in wanted if not (target / name).exists()]
    if missing:
        raise ClusterError(f"go build made no {', '.join(missing)}: compare `tool` in go.mod")


def _images(programs_in: Path, target: Path, provider: str) -> None:
    busybox = images.busybox(packages.BUSYBOX.read_bytes(), images.applets(packages.BUSYBOX))
    images.write(target / "busybox.tar", busybox)
    if provider == "kind":
        return
    coredns = images.coredns((programs_in / "coredns").read_bytes())
    images.write(target / "coredns.tar", coredns)
    listing = run(["go", "-C", str(MODULE), "list", "-m", "-json", "k8s.io/kubernetes"])
    # The program that holds a pod's namespaces, from the same sources as the kubelet.
    source = Path(json.loads(listing.stdout)["Dir"]) / "build" / "pause" / "linux" / "pause.c"
    pause = target / "pause"
    run(["gcc", "-Os", "-static", "-s", "-DVERSION=local", "-o", str(pause), str(source)])
    images.write(target / "pause.tar", images.pause(pause.read_bytes()))
    pause.unlink()


def _go_version() -> str:
    try:
        # In the module's folder, so that the toolchain go.mod asks for is the one that answers.
        return run(["go", "-C", str(MODULE), "env", "GOVERSION"], timeout=300).stdout.strip()
    except CommandError as error:
        raise ClusterError(
            "the cluster's programs are built with Go, and `go` does not work here. Install Go "
            "1.21 or later (https://go.dev/dl); it fetches the release that go.mod asks for: "
            f"{error}"
        ) from error

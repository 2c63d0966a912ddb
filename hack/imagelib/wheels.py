"""What an image is filled with: this repository's wheel, those that its lock names, and pip."""

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pip

from clusterlib.progress import ClusterError, step
from imagelib.paths import CONTEXT, KEPT, REPOSITORY, digest, sources

LOCKS = ("requirements-sidecar.lock", "requirements-operator.lock", "requirements-node.lock")

BUILD_SECONDS = 3600.0
"""Far above the slowest build of the engine: the limit is for one that hangs."""

DOWNLOAD_SECONDS = 900.0

_SHIPPED = ("sidecar", "operator", "bpf", "pyproject.toml", "README.md", "MANIFEST.in", "LICENSE")
"""What the wheel is made from."""

_GLIBC_MINORS = range(17, 42)
"""Versions of glibc that wheels are made for (PEP 600), up to what any supported Debian has."""


def platforms(machine: str, glibc_minor: int) -> list[str]:
    """Platform tags (PEP 600) of the wheels that run with glibc 2.`glibc_minor`, newest first."""
    found = [f"manylinux_2_{minor}_{machine}" for minor in _GLIBC_MINORS if minor <= glibc_minor]
    return [*reversed(found), f"manylinux2014_{machine}"]


def gather(python: str, glibc_minor: int) -> None:
    """Fills the context for an image with this Python (`3.11`) and this glibc (2.`glibc_minor`).

    Every file of a lock is checked against its hash, and none is built from source. Raises
    ClusterError with the end of what pip said.
    """
    folders = [_own(), _locked(python, glibc_minor)]
    wheels = CONTEXT / "wheels"
    shutil.rmtree(CONTEXT, ignore_errors=True)
    wheels.mkdir(parents=True)
    for folder in folders:
        for wheel in folder.iterdir():
            shutil.copy2(wheel, wheels)
    for lock in LOCKS:
        shutil.copy2(REPOSITORY / lock, CONTEXT)
    # Plain Python, so that of the environment this runs in does for any image.
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(pip.__file__).parent, CONTEXT / "pip" / "pip", ignore=ignored)


def made_from() -> list[Path]:
    """Every file that the content of the images depends on, the Dockerfile aside."""
    locks = [REPOSITORY / lock for lock in LOCKS]
    return [*sources(*_SHIPPED), REPOSITORY / "rust-toolchain.toml", *locks]


def _own() -> Path:
    """The wheel of this repository, with the engine as it ships."""
    wanted = digest([*sources(*_SHIPPED), REPOSITORY / "rust-toolchain.toml"], sys.version)
    kept = KEPT / "wheel" / wanted
    if not kept.exists():
        with step("wheel of this repository, engine as it ships"):
            _keep(kept, _build)
    return kept


def _locked(python: str, glibc_minor: int) -> Path:
    wanted = digest([REPOSITORY / lock for lock in LOCKS], python, str(glibc_minor))
    kept = KEPT / "locked" / wanted
    if not kept.exists():
        with step(f"wheels of the locks, for Python {python}"):
            _keep(kept, lambda target: _download(target, python, glibc_minor))
    return kept


def _keep(kept: Path, fill: Callable[[Path], None]) -> None:
    """Makes folder `kept`: whole or not at all; what was kept before of its kind goes."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".new-", dir=KEPT) as scratch:
        fresh = Path(scratch) / "wheels"
        fresh.mkdir()
        fill(fresh)
        shutil.rmtree(kept.parent)
        kept.parent.mkdir()
        fresh.rename(kept)


def _build(target: Path) -> None:
    with TemporaryDirectory() as scratch:
        # setuptools builds in the source tree, and packs what an earlier build left there.
        places = Path(scratch) / "places.cfg"
        places.write_text(f"[build]\nbuild_base={scratch}/build\n[egg_info]\negg_base={scratch}\n")
        # As it ships: not as tests have it built, which may count lines or skip optimisations.
        unwanted = ("STOQ_", "RUSTC_", "LLVM_PROFILE", "CARGO_PROFILE")
        kept = {name: text for name, text in os.environ.items() if not name.startswith(unwanted)}
        argv = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(target)]
        settings = {"DIST_EXTRA_CONFIG": str(places), "SETUPTOOLS_RUST_CARGO_PROFILE": "release"}
        _pip([*argv, str(REPOSITORY)], {**kept, **settings}, BUILD_SECONDS)


def _download(target: Path, python: str, glibc_minor: int) -> None:
    argv = ["download", "--no-deps", "--only-binary", ":all:", "--require-hashes"]
    argv += ["--dest", str(target), "--implementation", "cp", "--python-version", python]
    for abi in (f"cp{python.replace('.', '')}", "abi3", "none"):
        argv += ["--abi", abi]
    for tag in platforms(platform.machine(), glibc_minor):
        argv += ["--platform", tag]
    for lock in LOCKS:
        _pip([*argv, "-r", str(REPOSITORY / lock)], dict(os.environ), DOWNLOAD_SECONDS)


def _pip(arguments: list[str], environment: dict[str, str], timeout: float) -> None:
    argv = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input"]
    try:
        done = subprocess.run(
            [*argv, *arguments],
            cwd=REPOSITORY,
            env=environment,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ClusterError(f"pip {arguments[0]}: no end within {timeout:g} s") from error
    if done.returncode != 0:
        raise ClusterError(f"pip {arguments[0]} failed:\n{(done.stderr or done.stdout)[-4000:]}")

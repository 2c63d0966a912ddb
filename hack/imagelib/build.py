"""Building the images and keeping them, each named by all it was made from."""

import json
import sys
from pathlib import Path

from clusterlib.progress import ClusterError, step
from imagelib import builders, paths, sbom, wheels
from imagelib.wanted import Wanted, crates, lock
from lab.command import run

_PYTHON = "localhost/stoq/python:build"
_ASK = "import sys, platform; print('%d.%d' % sys.version_info[:2], platform.libc_ver()[1])"


def build(wanted: Wanted) -> list[Path]:
    """Makes what is not there yet; the archives, each with its SBOM (`.cdx.json`) beside it.

    Raises ClusterError or lab.command.CommandError with what the builder said.
    """
    builder = builders.choose(wanted.builder)
    wanted.folder.mkdir(parents=True, exist_ok=True)
    paths.KEPT.mkdir(parents=True, exist_ok=True)
    archives = {target: wanted.folder / f"{target}.tar" for target in wanted.targets}
    recipe = sorted(Path(__file__).parent.glob("*.py"))
    made_from = paths.digest(
        [paths.REPOSITORY / "Dockerfile", *recipe, *wheels.made_from()],
        wanted.base or builders.recipe_of_base(builder),
        sys.version,
    )
    stamps = {target: f"{made_from} {_tag(wanted, target)}" for target in wanted.targets}
    missing = [
        target for target in wanted.targets if not _is_kept(archives[target], stamps[target])
    ]
    if missing:
        base = _prepare(builder, wanted)
        for target in missing:
            with step(f"image {_tag(wanted, target)}"):
                _image(builder, target, _tag(wanted, target), base, archives[target])
                _stamp(archives[target]).write_text(stamps[target])
    return list(archives.values())


def _prepare(builder: builders.Builder, wanted: Wanted) -> str | None:
    """Everything that the images share; the base to build them on."""
    base = builders.base_for(builder, wanted.base)
    paths.CONTEXT.mkdir(parents=True, exist_ok=True)
    with step("Python of the images"):
        builder.build("python", _PYTHON, base, {})
        python, glibc = builder.ask(_PYTHON, ["python3", "-c", _ASK]).split()
    wheels.gather(python, int(glibc.split(".")[1]))
    return base


def _image(
    builder: builders.Builder, target: str, tag: str, base: str | None, archive: Path
) -> None:
    labels = {"VERSION": version(), "REVISION": paths.revision()}
    builder.build(target, tag, base, labels)
    fresh = archive.with_suffix(".new")
    builder.save(tag, fresh)
    locked = (paths.REPOSITORY / lock(target)).read_text()
    listing = builder.ask(tag, ["dpkg-query", "--show", "--showformat", sbom.DPKG_FORMAT])
    document = sbom.bom(tag, version(), locked, _crates(target), listing)
    archive.with_suffix(".cdx.json").write_text(document)
    fresh.replace(archive)


def version() -> str:
    """Of the distribution, as pyproject.toml has it."""
    for line in (paths.REPOSITORY / "pyproject.toml").read_text().splitlines():
        if line.startswith("version = "):
            return str(json.loads(line.removeprefix("version = ")))
    raise ClusterError("pyproject.toml names no version")


def _crates(target: str) -> tuple[str, str]:
    engine = paths.REPOSITORY / "sidecar" / "engine"
    argv = ["cargo", "tree", "--locked", "--manifest-path", str(engine / "Cargo.toml")]
    argv += [f"--package={name}" for name in crates(target)]
    argv += ["--edges", "normal", "--prefix", "none"]
    tree = run([*argv, "--format", "{p}"], timeout=300.0).stdout
    return (engine / "Cargo.lock").read_text(), tree


def _tag(wanted: Wanted, target: str) -> str:
    return f"{wanted.registry}/{target}:{wanted.tag}"


def _stamp(archive: Path) -> Path:
    return archive.with_suffix(".made-from")


def _is_kept(archive: Path, stamp: str) -> bool:
    marker = _stamp(archive)
    return archive.exists() and marker.exists() and marker.read_text() == stamp

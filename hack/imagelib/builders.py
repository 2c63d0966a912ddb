"""The two programs that build from a Dockerfile, and what differs between them."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from clusterlib import debian, packages
from clusterlib.kind import docker_runs
from clusterlib.progress import ClusterError, step
from imagelib.paths import CONTEXT, REPOSITORY, digest
from lab.command import run

SECONDS = 1200.0
"""How long one image may take; seconds where the wheels are there."""

IN_BASE = ("python3", "nftables")
"""The packages of the base that is bootstrapped, as in the Dockerfile."""

_DOCKERFILE = str(REPOSITORY / "Dockerfile")
_BOOTSTRAPPED = "localhost/stoq/base"

# Without user namespaces of its own, and without a network that a build has no use for.
_ISOLATION = ("--isolation", "chroot", "--network", "host")


@dataclass(frozen=True, slots=True)
class Docker:
    """Builds with the Docker daemon."""

    def build(self, target: str, tag: str, base: str | None, labels: dict[str, str]) -> None:
        """Builds one target of the Dockerfile from the gathered context."""
        argv = ["docker", "build", "--quiet", "--file", _DOCKERFILE, "--target", target]
        argv += ["--tag", tag, *_arguments(base, labels), str(CONTEXT)]
        run(["env", "DOCKER_BUILDKIT=1", *argv], timeout=SECONDS)

    def save(self, tag: str, archive: Path) -> None:
        """Writes an image as `docker load` reads it."""
        run(["docker", "save", "--output", str(archive), tag], timeout=SECONDS)

    def ask(self, image: str, argv: list[str]) -> str:
        """What a program of the image prints."""
        command = ["docker", "run", "--rm", "--entrypoint", argv[0], image, *argv[1:]]
        return run(command, timeout=SECONDS).stdout


@dataclass(frozen=True, slots=True)
class Buildah:
    """Builds with buildah, as root, without a daemon."""

    def build(self, target: str, tag: str, base: str | None, labels: dict[str, str]) -> None:
        """Builds one target of the Dockerfile from the gathered context."""
        argv = ["buildah", "bud", "--quiet", *_ISOLATION, "--layers", "--pull=false"]
        argv += ["--format", "docker", "--file", _DOCKERFILE, "--target", target]
        run([*argv, "--tag", tag, *_arguments(base, labels), str(CONTEXT)], timeout=SECONDS)

    def save(self, tag: str, archive: Path) -> None:
        """Writes an image as `docker load` reads it."""
        archive.unlink(missing_ok=True)
        run(["buildah", "push", "--quiet", tag, f"docker-archive:{archive}:{tag}"], timeout=SECONDS)

    def ask(self, image: str, argv: list[str]) -> str:
        """What a program of the image prints."""
        container = run(["buildah", "from", "--pull=false", image]).stdout.strip()
        try:
            command = ["buildah", "run", "--isolation", "chroot", container, "--", *argv]
            return run(command, timeout=SECONDS).stdout
        finally:
            run(["buildah", "rm", container])

    def bootstrap(self) -> str:
        """The base, made of Debian packages when it is not there yet; its name.

        Raises lab.command.CommandError with what mmdebstrap said.
        """
        name = recipe_of_base(self)
        if run(["buildah", "images", "--quiet", name], check=False).returncode == 0:
            return name
        with step(f"base: Debian {debian.here()} with {', '.join(IN_BASE)}"):
            archive = CONTEXT.parent / "base.tar"
            archive.write_bytes(debian.bootstrap(list(IN_BASE), "essential"))
            container = run(["buildah", "from", "scratch"]).stdout.strip()
            try:
                run(["buildah", "add", "--quiet", container, str(archive), "/"], timeout=SECONDS)
                run(["buildah", "commit", "--quiet", container, name], timeout=SECONDS)
            finally:
                run(["buildah", "rm", container])
                archive.unlink()
        return name


Builder = Docker | Buildah


def choose(wanted: str | None) -> Builder:
    """docker where its daemon answers, else buildah, which is installed when it is missing.

    Raises ClusterError when neither can be had.
    """
    if wanted == "docker" or (wanted is None and docker_runs()):
        return Docker()
    if not shutil.which("buildah"):
        packages.install("buildah")
    if os.geteuid() != 0:
        raise ClusterError("buildah makes a base of Debian packages: run hack/images as root")
    return Buildah()


def base_for(builder: Builder, wanted: str | None) -> str | None:
    """The image to build on; None: the one that the Dockerfile names."""
    if wanted is not None or isinstance(builder, Docker):
        return wanted
    return builder.bootstrap()


def recipe_of_base(builder: Builder) -> str:
    """What is built on when nothing else is asked for: the name of an image."""
    if isinstance(builder, Docker):
        return "as in the Dockerfile"
    return f"{_BOOTSTRAPPED}:{digest([Path(debian.__file__)], debian.here(), *IN_BASE)}"


def _arguments(base: str | None, labels: dict[str, str]) -> list[str]:
    values = {**labels, **({"BASE": base} if base else {})}
    return [word for name, text in values.items() for word in ("--build-arg", f"{name}={text}")]

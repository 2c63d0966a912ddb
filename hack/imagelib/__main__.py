"""The command line of `hack/images`."""

import argparse
import sys
from pathlib import Path

from clusterlib.progress import ClusterError, say
from imagelib.paths import KEPT
from imagelib.wanted import SHIPPED, TARGETS, Wanted
from lab.command import CommandError

EXAMPLES = """\
examples:
  hack/images                              operator, sidecar and node, as localhost/stoq/...:dev
  hack/images --registry registry.example/stoq --tag 1.0.0
  hack/images | xargs hack/cluster load    on every node of the cluster

Prints the archives, one a line; the SBOM of each lies beside it (.cdx.json, CycloneDX). What did
not change is not built again.
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hack/images",
        description="Builds the images of STOQ mesh from the Dockerfile, with docker or buildah. "
        "With buildah (as root) no registry is needed: the base is made of Debian packages.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "target",
        nargs="*",
        metavar="TARGET",
        help=f"of {', '.join(TARGETS)}; all but init",
    )
    parser.add_argument(
        "--registry", default="localhost/stoq", help="before the names (%(default)s)"
    )
    parser.add_argument("--tag", default="dev", help="after them (%(default)s)")
    parser.add_argument(
        "--out", type=Path, default=KEPT, help="folder of the archives (.stoq/images)"
    )
    parser.add_argument("--builder", choices=("docker", "buildah"), help="(docker where it runs)")
    parser.add_argument("--base", help="a Debian image to build on, with Python or with apt")
    return parser


def main(arguments: list[str]) -> int:
    """Returns the exit status: 1 when it failed, with the reason on standard error."""
    parser = _parser()
    asked = parser.parse_args(arguments)
    for target in asked.target:
        if target not in TARGETS:
            parser.error(f"{target}: no target of the Dockerfile; there are {', '.join(TARGETS)}")
    wanted = Wanted(
        targets=tuple(dict.fromkeys(asked.target or SHIPPED)),
        registry=asked.registry,
        tag=asked.tag,
        folder=asked.out,
        builder=asked.builder,
        base=asked.base,
    )
    # Only now: it needs packages that hack/setup --cluster installs, and the help does not.
    from imagelib.build import build

    try:
        for archive in build(wanted):
            print(archive)
    except (ClusterError, CommandError, OSError) as error:
        say(f"error: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

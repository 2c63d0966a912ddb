"""The Debian packages a node needs: runc, the CNI plugins, busybox and the tools called here."""

import os
from functools import cache
from pathlib import Path

from clusterlib.progress import ClusterError, say
from lab.command import CommandError, run

NEEDED = (
    "busybox-static",
    "containernetworking-plugins",
    "conntrack",
    "gcc",
    "iproute2",
    "libc6-dev",
    "nftables",
    "openssl",
    "procps",
    "runc",
    "util-linux",
)

BUSYBOX = Path("/bin/busybox")
"""The static one: it is an image's whole content."""

INSTALL_SECONDS = 600.0


@cache
def fingerprint() -> str:
    """Changes with what the images are made from: the version of busybox-static."""
    return _installed().get("busybox-static", "")


def install(*more: str) -> None:
    """Installs what is missing of NEEDED and of `more`. Raises ClusterError when it cannot."""
    missing = sorted({*NEEDED, *more} - set(_installed(*more)))
    if not missing:
        return
    command = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *missing]
    if os.geteuid() != 0:
        raise ClusterError(f"packages are missing. As root, once: {' '.join(command)}")
    say(f"installing {' '.join(missing)}")
    os.environ["DEBIAN_FRONTEND"] = "noninteractive"
    try:
        run(["apt-get", "update", "-q"], timeout=INSTALL_SECONDS)
        run(command, timeout=INSTALL_SECONDS)
    except CommandError as error:
        raise ClusterError(f"{' '.join(missing)} cannot be installed: {error}") from error
    fingerprint.cache_clear()


def _installed(*more: str) -> dict[str, str]:
    """Package -> version, of those in NEEDED and `more` that are there."""
    show = "${Package} ${Version} ${db:Status-Status}\n"
    query = ["dpkg-query", "-W", "-f", show, *NEEDED, *more]
    try:
        listing = run(query, check=False).stdout
    except CommandError as error:
        raise ClusterError(
            f"nodes are made of Debian packages ({', '.join(NEEDED)}); this is no Debian. "
            "With Docker running, hack/cluster uses kind instead"
        ) from error
    rows = [line.split() for line in listing.splitlines()]
    return {row[0]: row[1] for row in rows if len(row) == 3 and row[2] == "installed"}

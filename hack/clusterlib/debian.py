"""A base for images where no registry is reachable: Debian, bootstrapped from its packages."""

import tempfile
from pathlib import Path

from clusterlib import packages
from lab.command import run

SECONDS = 600.0
"""How long downloading and unpacking may take; some 20 seconds when the mirror is near."""

_MERGED = "/usr/share/mmdebstrap/hooks/maybe-merged-usr"
"""Makes /bin and others links at once, of releases that want them to be. Otherwise Debian brings a
package that does, and with it all of Perl: a third of a base."""

_RELEASE_FILE = Path("/etc/os-release")


def release(os_release: str) -> str:
    """The code name of this machine's Debian from the text of os-release(5), else `stable`."""
    for line in os_release.splitlines():
        name, _, value = line.partition("=")
        if name == "VERSION_CODENAME":
            return value.strip('"')
    return "stable"


def here() -> str:
    """The release that runs on this machine, such as `trixie`."""
    return release(_RELEASE_FILE.read_text())


def bootstrap(wanted: list[str], variant: str = "minbase") -> bytes:
    """A tar archive of a minimal Debian, the release that runs here, with the `wanted` packages.

    `variant` is mmdebstrap's: `minbase` has apt, `essential` has not. Raises
    lab.command.CommandError with what mmdebstrap said, such as a package's wrong name.
    """
    packages.install("mmdebstrap")
    argv = ["mmdebstrap", "--quiet", f"--variant={variant}", "--skip=output/dev"]
    argv += ["--aptopt=Apt::Install-Recommends false"]
    # Nothing that only installing needs: it would be half of the image.
    argv += ['--customize-hook=rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*']
    for folder in ("doc", "man", "info", "locale"):
        argv.append(f"--dpkgopt=path-exclude=/usr/share/{folder}/*")
    argv.append(f"--hook-directory={_MERGED}")
    if wanted:
        argv.append(f"--include={','.join(wanted)}")
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "root.tar"
        run([*argv, here(), str(target)], timeout=SECONDS)
        return target.read_bytes()

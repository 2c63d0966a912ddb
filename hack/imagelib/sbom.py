"""What is in an image, as CycloneDX 1.6 JSON: Python packages, the engine's crates, Debian's.

Pure, from the texts that say so: the lock, Cargo.lock with what `cargo tree` says is compiled in,
and the package list of the image itself.
"""

import re
import tomllib
from collections.abc import Iterator

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.markers import Marker

DPKG_FORMAT = "${Package} ${Version} ${Architecture}\n"
"""What `dpkg-query --show` is to print."""

_LOCKED = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)(?: ; ([^\\\n]+))?", re.M)
_CRATE = re.compile(r"^(\S+) v(\S+)(?: \((.*)\))?", re.M)


def bom(image: str, version: str, lock: str, crates: tuple[str, str], dpkg: str) -> str:
    """The document for `image`, whose own version is `version`.

    `crates` is Cargo.lock and the output of `cargo tree --prefix none --format '{p}'`; `dpkg` lists
    packages in DPKG_FORMAT.
    """
    root = Component(name=image, version=version, type=ComponentType.CONTAINER, bom_ref=image)
    parts = [*_python(lock, version), *_crates(*crates), *_debian(dpkg)]
    found = Bom(components=parts)
    found.metadata.component = root
    found.register_dependency(root, parts)
    return JsonV1Dot6(found).output_as_string(indent=1)


def _component(kind: str, name: str, version: str, **more: object) -> Component:
    url = PackageURL(kind, name=name, version=version, **more)  # type: ignore[arg-type]
    return Component(name=name, version=version, purl=url, bom_ref=url.to_string())


def _python(lock: str, version: str) -> Iterator[Component]:
    yield _component("pypi", "stoq-mesh", version)
    for match in _LOCKED.finditer(lock):
        if match[3] is None or Marker(match[3].strip()).evaluate():
            yield _component("pypi", match[1].lower(), match[2])


def _crates(cargo_lock: str, tree: str) -> Iterator[Component]:
    checksums = {
        (package["name"], package["version"]): package.get("checksum")
        for package in tomllib.loads(cargo_lock)["package"]
    }
    for name, version in sorted({(match[1], match[2]) for match in _CRATE.finditer(tree)}):
        component = _component("cargo", name, version)
        checksum = checksums.get((name, version))
        if checksum is not None:
            component.hashes.add(HashType(alg=HashAlgorithm.SHA_256, content=checksum))
        yield component


def _debian(dpkg: str) -> Iterator[Component]:
    for line in dpkg.splitlines():
        name, version, architecture = line.split()
        yield _component(
            "deb", name, version, namespace="debian", qualifiers={"arch": architecture}
        )

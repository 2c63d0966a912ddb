"""The SBOM of an image names what is in it, with versions and checksums."""

import json

from imagelib import sbom

LOCK = """\
h11==0.16.0 \\
    --hash=sha256:aa
    # via stoq-mesh (pyproject.toml)
colorama==0.4.6 ; sys_platform == 'win32' \\
    --hash=sha256:bb
"""
CARGO_LOCK = f"""\
version = 4
[[package]]
name = "mio"
version = "1.0.4"
source = "registry"
checksum = "{"0" * 64}"
[[package]]
name = "stoq-io"
version = "0.1.0"
[[package]]
name = "only-for-tests"
version = "1.0.0"
"""
TREE = "stoq-io v0.1.0 (/src/stoq-io)\nmio v1.0.4\nmio v1.0.4 (*)\n"
DPKG = "nftables 1.0.6-2 amd64\n"


def written() -> dict:
    return json.loads(sbom.bom("localhost/x:1", "0.1.0", LOCK, (CARGO_LOCK, TREE), DPKG))


def test_every_kind_of_part_is_named_by_its_package_url():
    urls = {part["purl"] for part in written()["components"]}
    assert urls == {
        "pkg:pypi/stoq-mesh@0.1.0",
        "pkg:pypi/h11@0.16.0",
        "pkg:cargo/stoq-io@0.1.0",
        "pkg:cargo/mio@1.0.4",
        "pkg:deb/debian/nftables@1.0.6-2?arch=amd64",
    }


def test_a_crate_has_the_checksum_of_its_lock():
    parts = {part["name"]: part for part in written()["components"]}
    assert parts["mio"]["hashes"] == [{"alg": "SHA-256", "content": "0" * 64}]


def test_the_image_itself_is_what_the_document_describes():
    assert written()["metadata"]["component"]["name"] == "localhost/x:1"

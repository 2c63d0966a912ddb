"""What goes into an image: wheels that run there, from locks that agree."""

import re

import pytest

from imagelib import wheels
from imagelib.paths import REPOSITORY


def pins(name: str) -> set[str]:
    text = (REPOSITORY / name).read_text()
    return set(re.findall(r"^([A-Za-z0-9._-]+==[^ ;\\]+)", text, re.MULTILINE))


@pytest.mark.parametrize("lock", wheels.LOCKS)
def test_an_image_has_the_versions_that_are_tested(lock: str):
    assert pins(lock)
    assert pins(lock) <= pins("requirements.lock")


def test_the_sidecars_image_has_no_kubernetes_client():
    names = {pin.partition("==")[0] for pin in pins("requirements-sidecar.lock")}
    assert names == {"h11", "msgspec", "prometheus-client"}


def test_the_node_agents_image_has_a_client_of_kubernetes_and_no_cryptography():
    names = {pin.partition("==")[0] for pin in pins("requirements-node.lock")}
    assert {"kopf", "aiohttp"} <= names
    assert not {"cryptography", "kubernetes", "aioquic", "typer"} & names


def test_platforms_end_at_the_glibc_of_the_image_newest_first():
    assert wheels.platforms("x86_64", 18) == [
        "manylinux_2_18_x86_64",
        "manylinux_2_17_x86_64",
        "manylinux2014_x86_64",
    ]

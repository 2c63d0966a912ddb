"""The Dockerfile and what fills its targets agree, without a build."""

import re
import tomllib

import pytest

from imagelib import wheels
from imagelib.paths import REPOSITORY
from imagelib.wanted import SHIPPED, TARGETS, crates, lock

CRATES = REPOSITORY / "sidecar" / "engine" / "crates"


def stages() -> dict[str, str]:
    """Text of each stage, without comments, by name."""
    text = re.sub(r"(?m)^#.*\n", "", (REPOSITORY / "Dockerfile").read_text())
    parts = re.split(r"(?m)^FROM \S+ AS (\S+)$", text)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_is_a_stage_that_starts_its_program(target: str) -> None:
    scripts = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["scripts"]
    (program,) = re.findall(r'^ENTRYPOINT \["(\S+)"\]', stages()[target], re.M)
    assert program == f"stoq-{target}"
    assert program in scripts


@pytest.mark.parametrize("target", SHIPPED)
def test_an_image_is_filled_by_its_lock_alone(target: str) -> None:
    built = stages()[f"build-{target}"]
    assert re.findall(r"-r /locks/(\S+)", built) == [lock(target)]
    assert f"COPY --from=build-{target} " in stages()[target]
    assert lock(target) in stages()["builder"]
    assert lock(target) in wheels.LOCKS


@pytest.mark.parametrize("target", SHIPPED)
def test_kernel_programs_are_in_the_node_agents_image_alone(target: str) -> None:
    removed = "site-packages/stoq_node" in stages()[f"build-{target}"]
    assert removed == (target != "node")
    assert ("stoq-kernel" in crates(target)) == (target == "node")


@pytest.mark.parametrize("target", TARGETS)
def test_the_crates_that_an_sbom_begins_with_exist(target: str) -> None:
    found = [
        tomllib.loads((CRATES / name / "Cargo.toml").read_text())["package"]["name"]
        for name in crates(target)
    ]
    assert found == list(crates(target))


@pytest.mark.parametrize(("target", "user"), [("sidecar", "14008"), ("operator", "65534")])
def test_only_init_and_node_run_as_root(target: str, user: str) -> None:
    assert f"USER {user}:{user}" in stages()[target]
    assert "USER 0:0" in stages()["init"]
    assert "USER 0:0" in stages()["node"]

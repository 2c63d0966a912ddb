"""What is left of a process's privileges, as the kernel says it."""

import pytest

from stoq_sidecar import privileges

NONE = "Name:\tpython3\nCapInh:\t00\nCapPrm:\t00\nCapEff:\t00\nCapBnd:\t3000\nCapAmb:\t00\n"


def test_a_process_that_gave_all_up_has_none() -> None:
    assert privileges.left(f"{NONE}NoNewPrivs:\t1\n") == ""


@pytest.mark.parametrize(
    ("status", "kept"),
    [
        (f"{NONE}NoNewPrivs:\t0\n", "NoNewPrivs is not 1"),
        (NONE, "NoNewPrivs is not 1"),
        (NONE.replace("CapAmb:\t00", "CapAmb:\t1000") + "NoNewPrivs:\t1\n", "CapAmb 1000"),
        (NONE.replace("CapPrm:\t00\n", "") + "NoNewPrivs:\t1\n", "CapPrm ?"),
    ],
)
def test_what_is_left_or_unknown_is_named(status: str, kept: str) -> None:
    assert privileges.left(status) == kept

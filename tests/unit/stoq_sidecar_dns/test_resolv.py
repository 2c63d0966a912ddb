"""resolv.conf as the pod's programs read it."""

from ipaddress import ip_address
from pathlib import Path

import pytest

from stoq_sidecar.dns.resolv import Resolv, parse, read

KUBERNETES = """\
search shop.svc.cluster.local svc.cluster.local cluster.local.
nameserver fd96::a
nameserver 10.96.0.10
options ndots:5
"""


def test_what_kubernetes_writes() -> None:
    assert parse(KUBERNETES) == Resolv(
        (ip_address("fd96::a"), ip_address("10.96.0.10")),
        (
            ("shop", "svc", "cluster", "local"),
            ("svc", "cluster", "local"),
            ("cluster", "local"),
        ),
    )


def test_lines_that_make_no_sense_are_passed_over() -> None:
    text = "# a comment\nnameserver\nnameserver x\nnameserver ::1 # here\n\nsearch a\ndomain B\n"
    assert parse(text) == Resolv((ip_address("::1"),), (("b",),))


def test_a_file_that_is_not_there_says_nothing(tmp_path: Path) -> None:
    assert read(str(tmp_path / "none")) == Resolv()


def test_name_servers_that_are_set_replace_those_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text(KUBERNETES)
    found = read(str(file), [ip_address("fd00::53")])
    assert found.nameservers == (ip_address("fd00::53"),)
    assert len(found.search) == 3


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="STOQ_DNS_RESOLV_CONF is"):
        read(str(tmp_path))

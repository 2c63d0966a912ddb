"""What a trace lacks is named, each with what mends it, and layouts come from the kernel's word."""

import re
import struct
from dataclasses import replace
from pathlib import Path

import pytest

from stoq_node.trace import layout, parts
from stoq_node.trace.bcc import BccError, Program
from stoq_node.trace.btf import Btf, LayoutError
from stoq_node.trace.parts import Machine, missing, no_latency

BPF, PERFMON, SYS_PTRACE, SYS_ADMIN = 1 << 39, 1 << 38, 1 << 19, 1 << 21
GOOD = Machine(
    release="6.12.0-amd64",
    capabilities=BPF | PERFMON | SYS_PTRACE,
    bcc="/usr/lib/python3/dist-packages/bcc",
    tracefs="/sys/kernel/tracing",
    tracepoints=frozenset((*parts.TRACEPOINTS, *parts.LATENCY)),
    btf=True,
)


@pytest.mark.parametrize("capabilities", [GOOD.capabilities, SYS_ADMIN | SYS_PTRACE])
def test_a_machine_with_everything_lacks_nothing(capabilities: int) -> None:
    assert missing(replace(GOOD, capabilities=capabilities)) == ()
    assert no_latency(GOOD) == ""


@pytest.mark.parametrize(
    ("change", "what", "mend"),
    [
        ({"bcc": ""}, "kernel headers are not needed", "apt-get install"),
        ({"tracefs": "", "tracepoints": frozenset()}, "tracefs", "mount -t tracefs"),
        ({"btf": False}, "6.12.0-amd64 does not say where", "CONFIG_DEBUG_INFO_BTF"),
        ({"tracepoints": frozenset(parts.LATENCY)}, "net/net_dev_queue", "CONFIG_TRACEPOINTS"),
        ({"capabilities": BPF | SYS_PTRACE}, "lacks CAP_PERFMON", "sudo stoq-node trace"),
        ({"capabilities": SYS_ADMIN}, "lacks CAP_SYS_PTRACE", "sudo"),
        ({"capabilities": 0}, "CAP_BPF and CAP_PERFMON and CAP_SYS_PTRACE", "sudo"),
    ],
)
def test_each_part_that_is_missing_is_named_once(
    change: dict[str, object], what: str, mend: str
) -> None:
    [one] = missing(replace(GOOD, **change))  # type: ignore[arg-type]
    assert what in str(one)
    assert mend in one.mend


def test_all_that_is_missing_is_named_together() -> None:
    nothing = replace(GOOD, bcc="", tracefs="", btf=False, capabilities=0)
    assert len(missing(nothing)) == 4


def test_an_older_kernel_traces_without_latencies_and_says_so() -> None:
    older = replace(GOOD, tracepoints=frozenset(parts.TRACEPOINTS))
    assert missing(older) == ()
    assert "sock/sock_send_length" in no_latency(older)
    assert "Linux 6.3" in no_latency(older)


@pytest.mark.parametrize("text", ["import no_such_library_of_bcc", "raise OSError('libbcc.so.0')"])
def test_a_bcc_that_does_not_load_says_what_it_said(tmp_path, text: str) -> None:
    (tmp_path / "__init__.py").write_text(text)
    with pytest.raises(BccError, match="does not load: .*libbcc|no_such_library.*python3-bpfcc"):
        Program(str(tmp_path), [])


class Types:
    """BTF that is made by hand: a string section and types, numbered from 1."""

    def __init__(self) -> None:
        self.strings = b"\0"
        self.types: list[bytes] = []

    def name(self, text: str) -> int:
        if not text:
            return 0
        self.strings += text.encode() + b"\0"
        return len(self.strings) - len(text) - 1

    def integer(self) -> int:
        return self._add(struct.pack("=IIII", self.name("u32"), 1 << 24, 4, 32))

    def composed(self, name: str, *members: tuple[str, int, int], union: bool = False) -> int:
        """Members are (name, type, bit)."""
        kind = 5 if union else 4
        head = struct.pack("=III", self.name(name), kind << 24 | len(members), 64)
        parts = (struct.pack("=III", self.name(one), of, bit) for one, of, bit in members)
        return self._add(head + b"".join(parts))

    def bit_fields(self, name: str, *members: tuple[str, int, int]) -> int:
        """Members are (name, type, bit), their sizes in the upper byte."""
        head = struct.pack("=III", self.name(name), 1 << 31 | 4 << 24 | len(members), 64)
        parts = (struct.pack("=III", self.name(one), of, 3 << 24 | bit) for one, of, bit in members)
        return self._add(head + b"".join(parts))

    def data(self) -> bytes:
        types = b"".join(self.types)
        head = struct.pack(
            "=HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), len(self.strings)
        )
        return head + types + self.strings

    def _add(self, one: bytes) -> int:
        self.types.append(one)
        return len(self.types)


def test_members_are_found_also_in_unnamed_parts_and_behind_bit_fields() -> None:
    types = Types()
    number = types.integer()
    inner = types.composed("", ("deep", number, 32), ("deeper", number, 64))
    union = types.composed("", ("beside", number, 0), ("", inner, 0), union=True)
    types.composed("other", ("sk", number, 0))
    types.composed("sk_buff", ("first", number, 0), ("", union, 128))
    types.bit_fields("bits", ("flag", number, 3), ("after", number, 64))
    btf = Btf(types.data(), ["sk_buff", "bits"])
    assert btf.offset("sk_buff", "first") == 0
    assert btf.offset("sk_buff", "beside") == 16
    assert btf.offset("sk_buff", "deeper") == 24
    assert btf.offset("bits", "after") == 8
    with pytest.raises(LayoutError, match="struct sk_buff of this kernel has no member last"):
        btf.offset("sk_buff", "last")
    with pytest.raises(LayoutError, match="no struct sock"):
        btf.offset("sock", "sk_uid")


@pytest.mark.parametrize("data", [b"", b"\x9f", b"\x7fELF" + bytes(40)])
def test_what_is_no_btf_is_refused(data: bytes) -> None:
    with pytest.raises(LayoutError, match="no BTF"):
        Btf(data, [])


def test_the_program_is_told_every_offset_it_uses() -> None:
    types = Types()
    number = types.integer()
    for structure, members in layout.MEMBERS:
        types.composed(structure, *((one, number, 64 * n) for n, one in enumerate(members)))
    flags = layout.flags(types.data(), 4096, latency=True)
    program = (Path(layout.__file__).parent / "trace.bcc.c").read_text()
    used = set(re.findall(r"\bAT_[a-z]\w+", program))
    assert used == {flag[2:].partition("=")[0] for flag in flags if flag.startswith("-DAT_")}
    assert "-DAT_sk_buff_data=8" in flags
    assert "-DLATENCY" in flags
    assert "-DLATENCY" not in layout.flags(types.data(), 4096, latency=False)

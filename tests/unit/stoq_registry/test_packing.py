import zlib

import msgspec
import pytest

from stoq.packing import pack, unpack
from stoq.registry import Endpoint, Entries, ServiceEntry, ServicePort, WorkloadEntry


def workload(number: int) -> WorkloadEntry:
    return WorkloadEntry(
        uid=f"{number:08x}-0000-4000-8000-{number * 7919:012x}",
        name=f"web-{number:05d}",
        namespace=f"team-{number % 40}",
        spiffe_id=f"spiffe://cluster.local/ns/team-{number % 40}/sa/web",
        addresses=(f"fd5c::{number:x}",),
        node=f"node-{number // 100}",
    )


def service(number: int) -> ServiceEntry:
    return ServiceEntry(
        name=f"record-{number:05d}",
        namespace=f"team-{number % 40}",
        vips=(f"fd53::{number:x}",),
        ports=(ServicePort(443, 8443, "https"),),
        endpoints=(Endpoint(f"fd5c::{number % 5000:x}"), Endpoint(f"fd5c::{number % 4999:x}")),
    )


ENTRIES = Entries(
    workloads=tuple(map(workload, range(200))), services=tuple(map(service, range(400)))
)


def test_what_is_packed_comes_out_as_it_was_and_much_shorter() -> None:
    packed = pack(ENTRIES)
    assert unpack(packed, Entries) == ENTRIES
    assert len(packed) * 5 < len(msgspec.msgpack.encode(ENTRIES))


@pytest.mark.parametrize(
    ("packed", "problem"),
    [
        (b"", "0 packed bytes end too early"),
        (b"no zlib", "7 bytes are no zlib stream"),
        (pack(ENTRIES)[:-9], "end too early"),
        (zlib.compress(b"\x01"), "the bytes are no Entries"),
        (zlib.compress(msgspec.msgpack.encode({"workloads": [{"uid": "u"}]})), "missing required"),
    ],
)
def test_bytes_that_are_no_packed_value_are_named(packed: bytes, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        unpack(packed, Entries)


def test_a_packed_value_never_becomes_more_than_its_limit() -> None:
    size = len(msgspec.msgpack.encode(ENTRIES))
    assert unpack(pack(ENTRIES), Entries, limit=size) == ENTRIES
    with pytest.raises(ValueError, match=f"more than {size - 1}, the limit"):
        unpack(pack(ENTRIES), Entries, limit=size - 1)
    bomb = zlib.compress(b"\xc0" * (1 << 26))
    with pytest.raises(ValueError, match="more than 16777216"):
        unpack(bomb, Entries)

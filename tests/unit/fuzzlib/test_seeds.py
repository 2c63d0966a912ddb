"""The inputs that fuzzing begins with."""

import json
from pathlib import Path

from fuzzlib.seeds import CLIENT, SERVER, pieces, seeds, write

ROOT = Path(__file__).parents[3]
VECTORS = ROOT / "docs" / "vectors"
TARGETS = {path.stem for path in (ROOT / "sidecar/engine/fuzz/fuzz_targets").glob("*.rs")}


def test_every_target_whose_input_is_on_the_wire_has_seeds():
    found = seeds(VECTORS)
    # The routing table comes from the control plane, as text.
    assert set(found) == TARGETS - {"table"}
    assert all(found.values())


def test_handshakes_are_in_pieces_for_either_side():
    recorded = json.loads((VECTORS / "handshakes.json").read_text())["handshakes"][0]
    hello, flight = (bytes.fromhex(recorded[name]) for name in ("client_hello", "client_flight"))
    found = seeds(VECTORS)["handshake"]
    assert SERVER + pieces([hello, flight]) in found
    assert pieces([b"ab", b""]) == b"\0\2ab\0\0"
    assert {data[:1] for data in found} == {SERVER, CLIENT}
    # libFuzzer cuts what is longer (hack/lib/fuzz).
    assert max(map(len, found)) < 16384


def test_what_is_written_is_the_same_each_time(tmp_path):
    def written() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    found = seeds(VECTORS)
    write(found, tmp_path)
    first = written()
    assert set(first.values()) == {data for inputs in found.values() for data in inputs}
    (tmp_path / "handshake/seeds/stale").write_bytes(b"from a vector that is gone")
    write(seeds(VECTORS), tmp_path)
    assert written() == first

"""The API layer reads and writes frames as docs/vectors says."""

import pytest

from stoq.api import stream
from stoq.api.errors import Malformed
from stoq.api.framing import Decoder, Frame, Kind, encode
from support.vectors import Case, cases, vectors

LIMIT = vectors("api-frames.json")["limit"]


def decoder(case: Case) -> Decoder:
    fed = Decoder(LIMIT)
    fed.feed(bytes.fromhex(case["hex"]))
    return fed


@cases("api-frames.json")
def test_frames_are_read_and_written(case: Case) -> None:
    kind, body = Kind(case["value"]["kind"]), bytes.fromhex(case["value"]["body"])
    reading = decoder(case)
    assert reading.next() == Frame(kind, body)
    assert reading.pending == 0
    assert encode(kind, body).hex() == case["hex"]


@cases("api-frames.json", "invalid")
def test_wrong_frames_are_refused_at_once(case: Case) -> None:
    with pytest.raises(Malformed):
        decoder(case).next()


@cases("api-frames.json", "incomplete")
def test_the_rest_of_a_frame_is_waited_for(case: Case) -> None:
    assert decoder(case).next() is None


def test_the_codes_that_the_api_layer_uses_are_the_documents() -> None:
    codes = vectors("error-codes.json")["stream"]
    used = {"cancelled": stream.CANCELLED, "denied": stream.DENIED, "draining": stream.DRAINING}
    assert used.items() <= codes.items()

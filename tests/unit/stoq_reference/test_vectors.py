"""The reference reads and writes what docs/vectors says of the wire."""

import pytest

from stoq_reference import calls, control, head, parameters, reader
from stoq_reference.codes import ConnectionCode, StreamCode
from stoq_reference.errors import Malformed
from stoq_reference.head import Address, Head, Kind
from stoq_reference.reader import Reader, Short
from support.vectors import FOLDER, Case, cases, vectors


def test_every_file_says_what_it_is_of() -> None:
    files = sorted(path.name for path in FOLDER.glob("*.json"))
    assert files
    listed = (FOLDER / "README.md").read_text()
    for file in files:
        assert vectors(file)["about"]
        assert f"`{file}`" in listed


def test_varints() -> None:
    document = vectors("varints.json")
    for case in document["written"]:
        assert reader.varint(case["value"]).hex() == case["hex"]
    for case in document["written"] + document["read"]:
        read = Reader(bytes.fromhex(case["hex"]), "vector")
        assert read.varint() == case["value"]
        read.end()
    for cut in document["incomplete"]:
        with pytest.raises(Short):
            Reader(bytes.fromhex(cut), "vector").varint()


@cases("transport-parameters.json")
def test_transport_parameters_are_read_and_written(case: Case) -> None:
    encoded, value = bytes.fromhex(case["hex"]), case["value"]
    found = parameters.decode(encoded)
    if value is None:
        assert found is None
        return
    keys = {
        key: value[key] and bytes.fromhex(value[key]) for key in ("falcon_key_id", "falcon_key")
    }
    assert found == parameters.Parameters(**(value | keys))
    if case["written"]:
        assert found.encode() == encoded


@cases("transport-parameters.json", "invalid")
def test_wrong_transport_parameters_are_refused(case: Case) -> None:
    with pytest.raises(Malformed):
        parameters.decode(bytes.fromhex(case["hex"]))


def address(text: str) -> Address:
    host, _, port = text.rpartition(":")
    return Address.of(host.strip("[]"), int(port))


@cases("stream-heads.json")
def test_stream_heads_are_read_and_written(case: Case) -> None:
    encoded, value = bytes.fromhex(case["hex"]), case["value"]
    expected = Head(
        kind=Kind(value["kind"]),
        resume=value["resume"],
        flow_id=bytes.fromhex(value["flow"]),
        sent=value["sent"],
        received=value["received"],
        source=address(value["source"]),
        destination=address(value["destination"]),
    )
    assert head.decode(encoded) == (expected, len(encoded))
    assert head.decode(encoded + b"data") == (expected, len(encoded))
    assert expected.encode() == encoded
    assert len(encoded) <= head.MAX_LENGTH


@cases("stream-heads.json", "invalid")
def test_wrong_stream_heads_are_refused_at_once(case: Case) -> None:
    with pytest.raises(Malformed) as refused:
        head.decode(bytes.fromhex(case["hex"]))
    assert not isinstance(refused.value, Short)


@cases("stream-heads.json", "incomplete")
def test_the_rest_of_a_stream_head_is_waited_for(case: Case) -> None:
    with pytest.raises(Short):
        head.decode(bytes.fromhex(case["hex"]))


@cases("control-messages.json")
def test_control_messages_are_read_and_written(case: Case) -> None:
    encoded, value = bytes.fromhex(case["hex"]), case["value"]
    expected = control.Reauthentication(
        value["counter"],
        value["scheme"],
        bytes.fromhex(value["leaf"]),
        bytes.fromhex(value["signature"]),
    )
    assert control.decode(encoded) == expected
    assert expected.encode() == encoded


@cases("control-messages.json", "invalid")
def test_wrong_control_messages_are_refused(case: Case) -> None:
    with pytest.raises(Malformed):
        control.decode(bytes.fromhex(case["hex"]))


@cases("control-messages.json", "signed")
def test_what_a_control_message_signs(case: Case) -> None:
    content = control.signed(
        dialled=case["dialled"],
        counter=case["counter"],
        exporter=bytes.fromhex(case["exporter"]),
        leaf=bytes.fromhex(case["leaf"]),
    )
    assert content.hex() == case["hex"]
    assert len(content) == 99


def test_error_codes_have_their_names_and_numbers() -> None:
    document = vectors("error-codes.json")
    assert document["connection"] == {code.name.lower(): code for code in ConnectionCode}
    assert document["stream"] == {code.name.lower(): code for code in StreamCode}


LIMIT = vectors("api-frames.json")["limit"]


@cases("api-frames.json")
def test_api_frames_are_read_and_written(case: Case) -> None:
    encoded, value = bytes.fromhex(case["hex"]), case["value"]
    expected = calls.Frame(calls.FrameKind(value["kind"]), bytes.fromhex(value["body"]))
    assert calls.decode(encoded + b"more", LIMIT) == (expected, len(encoded))
    assert expected.encode() == encoded


@cases("api-frames.json", "invalid")
def test_wrong_api_frames_are_refused_at_once(case: Case) -> None:
    with pytest.raises(Malformed):
        calls.decode(bytes.fromhex(case["hex"]), LIMIT)


@cases("api-frames.json", "incomplete")
def test_the_rest_of_an_api_frame_is_waited_for(case: Case) -> None:
    assert calls.decode(bytes.fromhex(case["hex"]), LIMIT) is None

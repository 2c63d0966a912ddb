import msgspec
import pytest

from stoq.api.codec import Codec, decode, encode
from stoq.api.deadline import MAX_DEADLINE_MS, Deadline
from stoq.api.errors import (
    ApiError,
    BadRequest,
    Malformed,
    NotFound,
    Status,
    TimedOut,
    Unauthorised,
    Unavailable,
    error_for,
)


class Point(msgspec.Struct):
    x: int
    label: str = ""


@pytest.mark.parametrize("codec", Codec)
def test_a_value_survives_each_codec(codec):
    assert decode(codec, encode(codec, Point(3, "é")), Point) == Point(3, "é")


@pytest.mark.parametrize("codec", Codec)
def test_a_wrong_type_names_the_field(codec):
    with pytest.raises(Malformed, match=r"\$.x"):
        decode(codec, encode(codec, {"x": "three"}), Point)


@pytest.mark.parametrize("codec", Codec)
@pytest.mark.parametrize("body", [b"", b"\xc1", b"{", b'{"x": "\xff"}', b"\x91" * 5000])
def test_garbage_is_malformed_and_nothing_worse(codec, body):
    with pytest.raises(Malformed):
        decode(codec, body, Point)


@pytest.mark.parametrize("error", [TimedOut, NotFound, Unauthorised, BadRequest, Unavailable])
def test_each_error_crosses_the_wire_as_itself(error):
    received = error_for(error.status.value, "why")
    assert type(received) is error
    assert str(received) == "why"
    assert isinstance(received, ApiError)


@pytest.mark.parametrize("status", ["ok", "teapot"])
def test_a_status_that_is_no_error_here_becomes_unavailable(status):
    error = error_for(status, "why")
    assert type(error) is Unavailable
    assert status in str(error)


def test_the_statuses_are_the_documented_ones():
    assert [status.value for status in Status] == [
        "ok",
        "timeout",
        "not_found",
        "unauthorised",
        "bad_request",
        "unavailable",
    ]


def test_a_deadline_travels_as_the_time_that_is_left():
    assert Deadline.after(2.5, now=100.0).to_header(now=101.0) == 1500
    assert Deadline.from_header(1500, now=7.0) == Deadline(8.5)


def test_no_deadline_stays_no_deadline():
    assert Deadline.after(None, now=1.0).to_header(now=2.0) is None
    assert Deadline.from_header(None, now=1.0) == Deadline(None)
    assert not Deadline(None).passed(now=1e12)


def test_a_deadline_just_passed_still_travels_as_one_millisecond():
    assert Deadline(10.0).to_header(now=11.0) == 1
    assert Deadline(10.0).passed(now=10.0)


def test_an_absurd_deadline_is_cut_to_the_limit():
    assert Deadline.from_header(10**18, now=0.0) == Deadline(MAX_DEADLINE_MS / 1000)


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_a_timeout_that_is_not_positive_is_refused(seconds):
    with pytest.raises(ValueError, match="not positive"):
        Deadline.after(seconds, now=0.0)

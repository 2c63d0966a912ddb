"""What two releases in a row say to each other, and set for each other.

The one before is what its own code has recorded (`support.previous`).
"""

import json
from typing import Annotated, Any, Literal

import msgspec
import pytest

from stoq.packing import unpack
from stoq.registry import Entries, WatchMessage, WatchRequest, apply
from stoq_reference.carriers import Extension
from stoq_sidecar.settings import read, required
from support import previous, schemas

BEFORE: dict[str, Any] = json.loads(previous.RECORD.read_text())
NOW = previous.record("now")

REFUSED_BY_WHO_DOES_NOT_KNOW = {
    # The agent of the release before answers `malformed`, which a sidecar takes for "not here".
    "broker request.op": {"splice"},
    # Passed to nobody who has not asked for AF_XDP, and the release before has no word for it.
    "broker reply.sockets[].role": {"xsk", "xsk-memory", "xsk-program", "xsk-taken"},
}
"""Words by field that only a newer reader knows, and why no older one is hurt by them."""


def problems(name: str, writer: Any, reader: Any) -> list[str]:
    return schemas.problems(name, writer, reader, REFUSED_BY_WHO_DOES_NOT_KNOW)


@pytest.mark.parametrize("name", previous.TYPES)
def test_each_release_reads_what_the_other_writes(name: str) -> None:
    before, now = BEFORE["schemas"][name], NOW["schemas"][name]
    assert problems(name, writer=now, reader=before) == []
    assert problems(name, writer=before, reader=now) == []


class Before(msgspec.Struct):
    count: int
    mode: str = ""


class Renamed(msgspec.Struct):
    number: int
    mode: str = ""


class Closed(msgspec.Struct, forbid_unknown_fields=True):
    count: int


class Typed(msgspec.Struct):
    count: str
    mode: str | None = None


class Bounded(msgspec.Struct):
    count: Annotated[int, msgspec.Meta(ge=1, le=64)]


class Narrower(msgspec.Struct):
    count: Annotated[int, msgspec.Meta(ge=2, le=65)]


class Worded(msgspec.Struct):
    words: tuple[Literal["a", "b"], ...]


class MoreWords(msgspec.Struct):
    words: tuple[Literal["a", "b", "c"], ...]


@pytest.mark.parametrize(
    ("writer", "reader", "found"),
    [
        (Before, Before, []),
        (Renamed, Before, ["x.count is missed"]),
        (Before, Closed, ["x.mode is not taken"]),
        (Typed, Before, ["x.count: string is not integer", "x.mode: null is not string"]),
        (Before, Typed, ["x.count: integer is not string"]),
        (
            Before,
            Bounded,
            ["x.count: less than 1 is not read", "x.count: more than 64 is not read"],
        ),
        (Narrower, Bounded, ["x.count: more than 64 is not read"]),
        (Worded, MoreWords, []),
        (MoreWords, Worded, ["x.words[]: c is not known"]),
    ],
)
def test_what_would_not_be_read_is_found(writer: type, reader: type, found: list[str]) -> None:
    assert problems("x", msgspec.json.schema(writer), msgspec.json.schema(reader)) == found


@pytest.mark.parametrize("name", previous.MESSAGES)
def test_messages_of_the_release_before_mean_the_same_now(name: str) -> None:
    message = bytes.fromhex(BEFORE["messages"][name])
    kind = previous.TYPES[name.partition(":")[0]]
    assert msgspec.msgpack.decode(message, type=kind) == previous.MESSAGES[name]


def test_packed_entries_of_the_release_before_are_unpacked() -> None:
    packed = bytes.fromhex(BEFORE["packed"])
    assert unpack(packed, Entries) == previous.MESSAGES["registry entries"]


def test_a_control_plane_of_the_release_before_is_followed() -> None:
    said = {
        name: msgspec.msgpack.decode(bytes.fromhex(message), type=WatchMessage)
        for name, message in BEFORE["messages"].items()
        if name.startswith("registry message")
    }
    state = apply(None, said["registry message: snapshot"])
    assert list(state.workloads) == ["uid-web"]
    state = apply(state, said["registry message: delta"])
    assert (list(state.workloads), list(state.services)) == ([], ["service/shop/db"])
    assert (state.version, state.mesh.inbound) == (8, "strict")


def test_a_sidecar_of_the_release_before_asks_for_nothing_that_it_cannot_read() -> None:
    asked = bytes.fromhex(BEFORE["messages"]["registry request"])
    request = msgspec.msgpack.decode(asked, type=WatchRequest)
    fields = BEFORE["schemas"]["registry message"]["$defs"]["WatchMessage"]["properties"]
    assert request.signed == ("sealed" in fields)


def environment(injected: dict[str, str]) -> dict[str, str]:
    values = {"STOQ_POD_NAME": "web-0", "STOQ_POD_NAMESPACE": "shop", "STOQ_POD_NODE": "node0"}
    values |= {"STOQ_POD_SERVICE_ACCOUNT": "web", "STOQ_POD_HOST_ADDRESSES": "fd00::1"}
    return {
        name: values[name] if value == previous.FROM_THE_POD else value
        for name, value in injected.items()
    }


@pytest.mark.parametrize("how", BEFORE["injected"])
def test_a_sidecar_upgraded_in_place_starts_with_the_settings_of_before(how: str) -> None:
    assert required(read("", environment(BEFORE["injected"][how]))) == []


@pytest.mark.parametrize("how", BEFORE["injected"])
def test_a_sidecar_of_the_release_before_starts_with_what_is_injected_now(how: str) -> None:
    """It refuses a variable that it does not know: one is only set where somebody asks for it."""
    assert NOW["injected"][how].keys() - set(BEFORE["variables"]) == set()


def test_no_setting_of_the_release_before_is_gone() -> None:
    assert set(BEFORE["variables"]) - set(NOW["variables"]) == set()


def test_no_extension_of_the_release_before_is_gone() -> None:
    assert BEFORE["extensions"] & ~int(sum(Extension)) == 0

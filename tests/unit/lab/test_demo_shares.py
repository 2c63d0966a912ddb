"""What the demonstration says of an object's way, from what crossed the wire."""

import pytest

from lab.demo import shares
from lab.quic import Connection
from unit.lab.test_quic import CLIENT, SERVER

CUT = shares.Cut(moment=5.0, lost=b"2" * 8, dropped=7)
WHOLE = 1000


def connection(name: bytes, opened: float, *sent: tuple[float, int]) -> Connection:
    return Connection(CLIENT, SERVER, opened, name * 8, list(sent))


ONE = connection(b"1", 1.0, (2.0, 100), (6.0, 400))
LOST = connection(b"2", 1.1, (2.0, 250), (5.5, 90))
LATER = connection(b"3", 7.0, (8.0, 300))
ALL = [ONE, LOST, LATER]


def test_what_came_on_the_lost_connection_afterwards_does_not_count() -> None:
    assert shares.crossed(ALL, CUT) == [500, 250, 300]
    assert shares.brought(ALL) == [500, 340, 300]


@pytest.mark.parametrize(
    ("shards", "parts", "expected"),
    [
        (10, [500, 250, 250], [5, 2, 3]),
        (96, [1, 1, 1], [32, 32, 32]),
        (7, [1000, 1], [7, 0]),
        (5, [0, 0], [0, 0]),
    ],
)
def test_shards_are_shared_in_whole_numbers(
    shards: int, parts: list[int], expected: list[int]
) -> None:
    found = shares.shared(shards, parts)

    assert sorted(found) == sorted(expected)
    assert sum(found) == (shards if any(parts) else 0)


def test_the_table_says_what_became_of_each_connection() -> None:
    shown = shares.table(ALL, CUT, 21, began=0.5)

    assert [row[-1] for row in shown.rows] == [
        "there until the end",
        "ended after 4.5 s",
        "in place of the lost one",
    ]
    assert [row[3] for row in shown.rows] == ["10", "5", "6"]
    assert shown.rows[0][:3] == ["31" * 8, "0.5 s", "500 B"]
    assert all(len(row) == len(shown.columns) for row in shown.rows)


def test_a_connection_has_to_end_while_all_of_them_are_busy() -> None:
    assert shares.ended_check(ALL, CUT, WHOLE, 2).ok
    assert not shares.ended_check(ALL, CUT, WHOLE, 3).ok
    assert not shares.ended_check(ALL, CUT, 200, 2).ok, "all of it had crossed"
    nothing = shares.Cut(CUT.moment, CUT.lost, dropped=0)
    assert not shares.ended_check(ALL, nothing, WHOLE, 2).ok


def test_another_connection_has_to_take_its_place_and_the_object_is_not_sent_twice() -> None:
    assert shares.replaced_check(ALL, CUT, WHOLE).ok
    assert not shares.replaced_check([ONE, LOST], CUT, WHOLE).ok
    assert not shares.replaced_check(ALL, CUT, 700).ok

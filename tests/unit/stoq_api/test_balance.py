"""How calls are spread over endpoints."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from stoq.api.balance import FIRST_REST, LONGEST_REST, Balancer, Target

A = Target("[fd00::1]:1", "spiffe://t/a")
B = Target("[fd00::2]:1", "spiffe://t/a")
C = Target("[fd00::3]:1", "spiffe://t/a", weight=3)
IDLE = Target("[fd00::4]:1", "spiffe://t/a", weight=0)


def balancer(*targets):
    made = Balancer()
    made.update(targets)
    return made


def test_calls_one_after_the_other_take_turns():
    spread = balancer(A, B)
    found = []
    for _ in range(4):
        target = spread.pick((), 0.0)
        found.append(target)
        spread.began(target)
        spread.ended(target, 0.0, reached=True)
    assert found == [A, B, A, B]


def test_calls_at_once_are_spread_by_weight():
    spread = balancer(A, C, IDLE)
    found = Counter()
    for _ in range(40):
        target = spread.pick((), 0.0)
        spread.began(target)
        found[target] += 1
    assert found == {A: 10, C: 30}


def test_who_could_not_be_reached_rests_and_for_longer_each_time():
    spread = balancer(A, B)
    now = 100.0
    for failures in range(8):
        spread.began(A)
        spread.ended(A, now, reached=False)
        rest = min(LONGEST_REST, FIRST_REST * 2**failures)
        assert {spread.pick((), now + rest - 0.01) for _ in range(3)} == {B}
        now += rest
    spread.began(B)
    assert spread.pick((), now) == A


def test_an_answer_ends_the_rest():
    spread = balancer(A, B)
    spread.ended(A, 0.0, reached=False)
    spread.ended(A, 0.0, reached=True)
    spread.began(B)
    assert spread.pick((), 0.0) == A


def test_an_end_that_says_nothing_changes_nothing():
    spread = balancer(A, B)
    spread.ended(A, 0.0, reached=False)
    spread.ended(A, 0.0, reached=None)
    spread.began(B)
    assert spread.pick((), 0.5) == B


def test_when_all_rest_the_one_that_is_due_first_is_tried():
    spread = balancer(A, B)
    spread.ended(B, 0.0, reached=False)
    spread.ended(A, 0.5, reached=False)
    assert spread.pick((), 0.6) == B
    assert spread.pick((B,), 0.6) == A
    assert spread.pick((A, B), 0.6) is None


def test_endpoints_that_stay_keep_what_is_known_of_them():
    spread = balancer(A, B)
    spread.ended(A, 0.0, reached=False)
    spread.update([A, C])
    assert spread.pick((), 0.5) == C
    spread.ended(B, 0.5, reached=False)
    spread.began(B)
    assert spread.pick((C,), 0.5) == A


@given(st.lists(st.sampled_from([A, B, C]), max_size=60), st.floats(0, 100))
def test_as_long_as_one_is_left_somebody_is_picked(failed, now):
    spread = balancer(A, B, C, IDLE)
    for target in failed:
        spread.began(target)
        spread.ended(target, 0.0, reached=False)
    tried = []
    while (target := spread.pick(tried, now)) is not None:
        assert target not in tried
        tried.append(target)
    assert set(tried) == {A, B, C}

"""What of a pod's plaintext went past its sidecar, by what kernel and sidecar count."""

import pytest

from stoq.plaintext import Figures
from stoq_node.ledger import ABSENT_SECONDS, TCP, UDP, Lag, Ledger, Mute, Said, Seen, said

GONE = Mute("nobody listens", absent=True)
SLOW = Mute("no answer in 2 seconds")


class Pod:
    """A pod that is looked at every ten seconds: counters are set, and then looked at."""

    def __init__(self, lag: Lag = TCP) -> None:
        self.ledger = Ledger(lag)
        self.now = 0.0
        self.left = self.excused = self.sent = self.connections = self.again = 0
        self.instance = "first"

    def look(self, mute: Mute | None = None, *, seconds: float = 10.0) -> int:
        self.now += seconds
        seen = Seen(self.left, self.excused, self.excused)
        self.ledger.count(seen)
        told = Said(
            instance=self.instance,
            sent=self.sent,
            connections=self.connections,
            again=self.again,
        )
        found = self.ledger.look(self.now, mute or told)
        self.ledger.count(seen)
        return found

    def looks(self, count: int = 3, mute: Mute | None = None, *, seconds: float = 10.0) -> int:
        return sum(self.look(mute, seconds=seconds) for _ in range(count))


@pytest.fixture
def pod() -> Pod:
    """One that has been looked at once."""
    found = Pod()
    assert found.look() == 0
    return found


def test_what_the_sidecar_sent_is_accounted_for_and_the_rest_is_told_once(pod: Pod) -> None:
    pod.left, pod.sent = 5_000, 5_000
    assert pod.looks() == 0
    pod.left += 22
    assert pod.looks() == 22
    assert pod.looks() == 0
    pod.left, pod.sent = pod.left + 700, pod.sent + 100
    assert pod.looks() == 600


def test_what_left_before_the_first_look_is_not_judged() -> None:
    pod = Pod()
    pod.left = 1_000_000
    assert pod.looks() == 0
    assert pod.ledger.judged


def test_exempt_packets_excuse_as_much_as_they_are_and_hide_nothing_later(pod: Pod) -> None:
    pod.left, pod.excused = 4_000, 4_500
    assert pod.looks() == 0
    pod.left += 300
    assert pod.looks() == 300, "the headers of earlier exempt packets are no excuse for it"


def test_what_the_kernel_counts_between_two_maps_is_nobodys_fault(pod: Pod) -> None:
    # An exempt packet is in `excused` before `left` is read, or after, but never in neither.
    pod.ledger.count(Seen(left=1_000, excused_before=0, excused=1_100))
    pod.ledger.count(Seen(left=3_000, excused_before=1_100, excused=3_300))
    pod.left, pod.excused = 3_000, 3_300
    assert pod.looks() == 0


def test_a_sidecar_may_count_moments_after_the_kernel_has_sent(pod: Pod) -> None:
    pod.left = 60_000
    assert pod.look() == 0
    pod.sent = 60_000
    assert pod.looks() == 0


def test_what_a_slow_receiver_has_not_taken_leaves_when_it_likes(pod: Pod) -> None:
    pod.sent, pod.connections = 3_000_000, 1
    assert pod.looks(500) == 0
    pod.left = 3_000_000
    assert pod.looks() == 0


def test_what_never_left_excuses_nothing_after_the_kernel_must_have_dropped_it(pod: Pod) -> None:
    pod.sent = 3_000_000
    pod.look()
    assert pod.look(seconds=TCP.seconds) == 0
    pod.left = 10_000
    assert pod.looks() == 10_000


def test_no_more_is_excused_than_the_kernel_can_hold(pod: Pod) -> None:
    pod.sent = 10 * TCP.closed
    pod.look()
    pod.left = 2 * TCP.closed
    assert pod.looks() == TCP.closed


def test_a_sidecar_may_send_any_number_of_bytes_between_the_kernel_and_its_answer(
    pod: Pod,
) -> None:
    much = 100 * TCP.closed
    pod.ledger.count(Seen(0, 0, 0))
    assert pod.ledger.look(20.0, Said(instance="first", sent=much)) == 0
    pod.ledger.count(Seen(much, 0, 0))
    pod.left = pod.sent = much
    assert pod.looks() == 0
    pod.left += 7
    assert pod.looks() == 7


def test_what_tcp_sends_again_is_not_sent_twice(pod: Pod) -> None:
    pod.sent, pod.left, pod.again = 1_000, 1_900, 1_500
    assert pod.looks() == 0


def test_while_a_sidecar_does_not_answer_nothing_is_judged_and_all_when_it_does(pod: Pod) -> None:
    pod.left = 9_000
    assert pod.looks(30, SLOW) == 0
    pod.sent = 8_000
    assert pod.looks() == 1_000


def test_a_sidecar_that_starts_again_is_excused_for_what_it_cannot_know(pod: Pod) -> None:
    pod.sent, pod.left = 1_000, 1_000
    pod.look()
    # It sends 500 more, ends before it is asked, and its successor begins to count.
    pod.left, pod.instance, pod.sent = 1_500, "second", 0
    assert pod.looks() == 0
    pod.left += 5_000
    assert pod.looks() == 4_000, "as much as its predecessor sent may still be on its way"


def test_without_a_sidecar_for_a_minute_everything_went_past_it(pod: Pod) -> None:
    assert pod.look(GONE) == 0
    pod.left = 800
    assert pod.look(GONE) == 0, "it may be starting again"
    assert pod.look(GONE, seconds=ABSENT_SECONDS) == 0
    pod.left += 30
    assert pod.look(GONE) == 30
    pod.instance = "second"
    assert pod.looks() == 0


@pytest.mark.parametrize("mute", [GONE, SLOW])
def test_a_sidecar_that_never_said_anything_is_not_judged(mute: Mute) -> None:
    pod = Pod()
    for _ in range(20):
        pod.left += 1_000
        assert pod.look(mute) == 0
    assert not pod.ledger.judged


def test_counters_that_begin_anew_are_taken_as_they_are(pod: Pod) -> None:
    pod.left, pod.excused = 5_000, 9_000
    assert pod.looks() == 0, "all of it is exempt"
    pod.left, pod.excused = 10, 20
    assert pod.looks() == 0
    pod.left = 60
    assert pod.looks() == 50


def test_a_datagram_excuses_no_other_after_the_seconds_that_it_may_wait_for_its_neighbour() -> None:
    pod = Pod(UDP)
    pod.look()
    pod.sent = 500
    assert pod.look(seconds=1.0) == 0
    assert pod.look(seconds=UDP.seconds - 1.0) == 0
    pod.left = 500
    assert pod.looks(seconds=1.0) == 0, "it was on its way"
    pod.sent += 300
    pod.look()
    assert pod.look(seconds=UDP.seconds) == 0
    pod.left += 300
    assert pod.looks() == 300, "those were dropped, and it was others that left"


def test_each_protocol_has_figures_of_its_own() -> None:
    figures = Figures(instance="x", sent_bytes=1, connections=2, retransmitted_bytes=3)
    assert said("tcp", figures) == Said(instance="x", sent=1, again=3, connections=2)
    older = said("udp", figures)
    assert isinstance(older, Mute)
    assert "older" in older.why
    assert not older.absent, "there is somebody"
    counted = Figures(
        instance="x", sent_bytes=1, connections=2, retransmitted_bytes=3, datagram_bytes=4
    )
    assert said("udp", counted) == Said(instance="x", sent=4)
    assert said("udp", GONE) == said("tcp", GONE) == GONE

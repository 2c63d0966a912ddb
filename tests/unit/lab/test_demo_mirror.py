"""What the demonstration says of copies, from what client and shadow had."""

import pytest

from lab.demo.scenarios import mirror
from lab.demo.scenarios.mirror import REQUESTS, Answers
from lab.mirrors import WHOLE

LOG = """\
::ffff:10.0.0.2 - - [22/Nov/2026 08:00:00] "GET /file?STOQ-X;&n=3 HTTP/1.1" 404 -
fd00::2 - - [22/Nov/2026 08:00:00] code 404, message File not found
fd00::2 - - [22/Nov/2026 08:00:00] "GET /file?STOQ-X;&n=41 HTTP/1.1" 404 -
fd00::2 - - [22/Nov/2026 08:00:00] "GET /other HTTP/1.1" 404 -
"""

ALL = Answers(REQUESTS, [0.01, 0.03, 0.02])
ONE_SHORT = Answers(REQUESTS - 1, [0.01, 0.03, 0.02])
COUNTED = {"stoq_mirrors_failed_total": 1.0, "stoq_mirrors_skipped_total": 39.0}


def test_the_shadows_log_says_which_requests_it_heard() -> None:
    assert mirror.numbers(LOG) == [3, 41]


@pytest.mark.parametrize(
    ("share", "answers", "heard", "ok"),
    [
        (0, ALL, [], True),
        (0, ALL, [1], False),
        (WHOLE // 4, ALL, [1, 5], True),
        (WHOLE // 4, ALL, [], False),
        (WHOLE // 4, ALL, [1, 1], False),
        (WHOLE // 4, ONE_SHORT, [1, 5], False),
        (WHOLE, ALL, list(range(REQUESTS)), True),
        (WHOLE, ALL, list(range(1, REQUESTS)), False),
    ],
)
def test_a_share_holds_when_all_are_answered_and_as_many_are_heard_once(
    share: int, answers: Answers, heard: list[int], ok: bool
) -> None:
    assert mirror.share_check(share, answers, heard).ok is ok


def test_a_client_that_waits_for_a_dead_shadow_is_noticed() -> None:
    assert mirror.alone_check(ALL, COUNTED).ok
    assert not mirror.alone_check(ONE_SHORT, COUNTED).ok
    assert not mirror.alone_check(Answers(REQUESTS, [mirror.LONGEST]), COUNTED).ok
    assert not mirror.alone_check(ALL, dict.fromkeys(COUNTED, 0.0)).ok


def test_a_row_has_the_middle_and_the_longest_request() -> None:
    assert mirror.row("0 %", ALL, "0")[-2:] == ["20.0 ms", "30.0 ms"]

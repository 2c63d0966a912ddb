"""`hack/bench share`: the command line, and what is made of two flows' shares."""

import json

import pytest

from benchlib.adapt import sharing
from benchlib.adapt.sharing import PAIRS, SMOKE, Settings, Shares
from benchlib.errors import BenchError


def test_jains_index_is_one_for_equal_shares_and_a_half_when_one_has_all() -> None:
    assert Shares(9.5, 9.5).jain == pytest.approx(1.0)
    assert Shares(19.0, 0.0).jain == pytest.approx(0.5)
    assert Shares(15.0, 5.0).jain == pytest.approx(0.8)
    assert Shares(0.0, 0.0).jain == 0.0


def test_the_buffer_is_in_products_of_the_path_and_only_on_the_way_of_the_data() -> None:
    (step,) = sharing.schedule(0.5).steps
    up, down = step.up.over(step).document(), step.down.over(step).document()
    # 20 Mbit/s and 40 ms are 100,000 bytes.
    assert (up["rate"], up["queue"], up["delay"]) == (20_000_000, 50_000, 20_000)
    assert (down["rate"], down["delay"]) == (0, 20_000)


def test_the_table_has_the_median_of_the_rounds_and_json_has_all() -> None:
    rounds = [Shares(12.0, 6.0), Shares(9.0, 9.0), Shares(10.0, 8.0)]
    found = {("bbr3", "tcp-cubic"): {4.0: rounds}}
    row = sharing.table(found)[2]
    assert row == "| STOQ, BBRv3 | kernel TCP, CUBIC | 4 | 10 (9–12) | 8 (6–9) | 0.988 (0.9–1) |"
    (told,) = json.loads(json.dumps(sharing.figures(found)))
    assert told["first_mbit"] == [12.0, 9.0, 10.0]
    assert told["jain"] == [0.9, 1.0, 0.988]


def test_the_command_that_repeats_a_run_says_what_differs() -> None:
    assert sharing.command(Settings()) == "hack/bench share"
    assert sharing.command(SMOKE) == "hack/bench share --smoke"
    words = ["--pairs", "tcp-bbr+cubic", "--buffers", "0.5,2", "--rounds", "1"]
    chosen, output = sharing.parse(words)
    assert chosen.pairs == (("tcp-bbr", "cubic"),)
    assert sharing.command(chosen) == f"hack/bench share {' '.join(words)}"
    assert output.folder is None
    assert sharing.parse([])[0] == Settings(pairs=PAIRS)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--pairs", "bbr3+vegas"], "--pairs: 'bbr3.vegas' is not A.B, each one of bbr3, cubic"),
        (["--pairs", "bbr3"], "--pairs: 'bbr3' is not A.B"),
        (["--pairs", "bbr3+cubic"], "share one connection of the mesh"),
        (["--buffers", "0"], "--buffers: '0' is not a number above 0, 100 at most"),
        (["--buffers", "deep"], "--buffers: 'deep' is not a number"),
        (["--rounds", "0"], "--rounds: 0 is outside 1 to 1000"),
    ],
)
def test_a_command_line_that_makes_no_sense_is_refused_with_the_value(
    words: list[str], said: str
) -> None:
    with pytest.raises(BenchError, match=said):
        sharing.parse(words)

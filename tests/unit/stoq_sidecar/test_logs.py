"""Log lines in both shapes."""

import json
import logging

import pytest

from stoq import logs


def test_text_lines_have_time_level_and_target(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "text")
    logging.getLogger("stoq.test").warning("%d things", 3)
    logging.getLogger("stoq.test").debug("unseen")
    line = capsys.readouterr().err
    assert line.endswith(" warn  stoq.test: 3 things\n")
    assert line[10] == "T"


def test_json_lines_are_one_object_each(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("trace", "json")
    try:
        raise ValueError("broken")
    except ValueError:
        logging.getLogger("stoq.test").exception("went wrong")
    found = json.loads(capsys.readouterr().err)
    assert found["level"] == "error"
    assert found["target"] == "stoq.test"
    assert found["message"].startswith("went wrong\nTraceback")


def test_the_level_changes_at_run_time() -> None:
    logs.configure("error", "text")
    assert not logging.getLogger("stoq.test").isEnabledFor(logging.WARNING)
    logs.set_level("trace")
    assert logging.getLogger("stoq.test").isEnabledFor(logs.TRACE)
    with pytest.raises(KeyError):
        logs.set_level("loud")

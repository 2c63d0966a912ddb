"""The load of the shards scenario, and both ends of it over a real connection."""

import asyncio
import contextlib
import json
from itertools import count
from pathlib import Path

import pytest

from benchlib.errors import BenchError
from benchlib.objectload import ends
from benchlib.scenarios.shards import values_of
from lab.ports import free_port
from stoq.api.errors import Unavailable
from support.patience import PATIENCE

SAID = {
    "bits_per_second": 2.5e9,
    "object_ms": 12.5,
    "failed": 1,
    "connections": 4,
    "cpu_per_gb": 1.25,
}


def test_what_the_sender_says_becomes_metrics() -> None:
    assert values_of(json.dumps(SAID), 4) == {
        "throughput": 2.5,
        "object": 12.5,
        "sender_cpu": 1.25,
        "failed": 1.0,
    }


def test_fewer_connections_than_there_should_be_are_an_error() -> None:
    with pytest.raises(BenchError, match="4 connections instead of 2"):
        values_of(json.dumps(SAID), 2)


def test_nothing_that_arrived_is_an_error() -> None:
    with pytest.raises(BenchError, match="no object arrived, and 7 were not sent"):
        values_of(json.dumps({**SAID, "bits_per_second": 0.0, "failed": 7}), 4)


def test_the_figures_are_of_what_arrived() -> None:
    made = ends.figures([0.01, 0.03, 0.02], failed=2, elapsed=0.5, cpu=0.06, connections=2)
    assert made.bits_per_second == pytest.approx(3 * ends.OBJECT * 8 / 0.5)
    assert (made.object_ms, made.failed) == (20.0, 2)
    assert made.cpu_per_gb == pytest.approx(5.0)
    assert ends.figures([], 3, 0.5, 0.1, 0).bits_per_second == 0.0


async def test_two_objects_are_under_way_and_failures_are_counted_apart() -> None:
    running = most = calls = 0

    async def call() -> None:
        nonlocal running, most, calls
        calls += 1
        first = calls == 1
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        if first:
            raise Unavailable("not there")

    took, failed = await ends.repeated(call, 20.0, clock=map(float, count()).__next__)
    assert (most, failed) == (ends.AT_ONCE, 1)
    assert len(took) == calls - 1


async def test_objects_go_over_as_many_connections_as_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ends, "WARM_UP", 0.05)
    address = f"[::1]:{free_port()}"
    receiving = asyncio.create_task(ends.receive(address, tmp_path, 1))
    async with asyncio.timeout(PATIENCE):
        figures = {"bits_per_second": 0.0}
        # The receiver may not be there yet.
        while not figures["bits_per_second"]:
            await asyncio.sleep(0.05)
            with contextlib.suppress(FileNotFoundError):
                figures = await ends.send(address, tmp_path, 1, lanes=2, seconds=0.2)
    receiving.cancel()
    await asyncio.gather(receiving, return_exceptions=True)
    assert values_of(json.dumps(figures), 2)["throughput"] > 0

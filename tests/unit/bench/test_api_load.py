"""The load of the api scenario, and our two ends of it over a real connection."""

import asyncio
import contextlib
import json
from pathlib import Path

import pytest

from benchlib.apiload import load, ours
from benchlib.errors import BenchError
from benchlib.scenarios.api import Api, values_of
from lab.ports import free_port
from support.patience import PATIENCE


async def test_a_stall_is_charged_to_every_call_that_it_delays() -> None:
    calls = 0
    gate = asyncio.Event()

    async def call() -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            asyncio.get_running_loop().call_later(0.2, gate.set)
        await gate.wait()

    latencies, failed = await load._open(call, rate=100, seconds=0.3)
    assert (len(latencies), failed) == (30, 0)
    assert max(latencies) >= 0.19
    assert sum(latency > 0.05 for latency in latencies) >= 10


async def test_calls_that_fail_are_counted_and_not_timed() -> None:
    async def call() -> None:
        await asyncio.sleep(0)
        raise OSError("no")

    latencies, failed = await load._open(call, rate=100, seconds=0.1)
    assert (latencies, failed) == ([], 10)
    answered, failed, _ = await load._closed(call, 2, 0.05)
    assert answered == 0
    assert failed > 0


async def test_as_many_calls_are_under_way_as_asked_for() -> None:
    running = most = 0

    async def call() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001)
        running -= 1

    answered, failed, elapsed = await load._closed(call, 5, 0.1)
    assert (most, failed) == (5, 0)
    assert answered >= 5
    assert elapsed >= 0.1


async def test_our_ends_measure_every_metric(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "WARM_UP", 0.05)
    address = f"[::1]:{free_port()}"
    serving = asyncio.create_task(ours.serve(address, tmp_path))
    async with asyncio.timeout(PATIENCE):
        figures = None
        while figures is None:
            await asyncio.sleep(0.05)
            with contextlib.suppress(FileNotFoundError):
                figures = await ours.call(address, tmp_path, calls=4, rate=50, seconds=0.5)
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)
    values = values_of(json.dumps(figures))
    assert set(values) == {metric.name for metric in Api.metrics}
    assert values["requests"] > 0
    assert 0 < values["p50"] <= values["p99"] <= values["p999"]
    assert values["failed"] == 0


def test_a_client_without_an_answer_is_no_measurement() -> None:
    with pytest.raises(BenchError, match="no call was answered"):
        values_of('{"requests_per_second": 0}')

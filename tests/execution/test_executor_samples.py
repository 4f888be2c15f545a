"""What every executor must do: it takes samples of system metrics where that is asked for, and they can be read while the launch runs
and after."""

from __future__ import annotations

import asyncio
import json

import pytest

from lazward.domain.ports import Executor
from tests.execution.conftest import PATIENCE_S, Bench, run, sh


def lines(said: bytes) -> list[dict]:
    return [json.loads(line) for line in said.decode().splitlines()]


class TestReadSamples:
    async def test_a_launch_that_is_over_at_once_has_one(self, executor: Executor, bench: Bench):
        await run(executor, bench.spec("a", sh("exit 0"), sample_s=10, sample_step=5))
        [found] = lines(await executor.read_samples("a", 0, 1 << 20))
        assert found["step"] == 5
        assert found["at"] > 1_600_000_000_000
        assert {"job_memory_usage_megabytes", "job_cpu_cores", "disk_usage_megabytes"} <= found.keys()

    async def test_while_it_runs_and_by_another_worker(self, executor: Executor, another, bench: Bench):
        await executor.start(bench.spec("a", sh("sleep 600"), sample_s=0.05))
        try:
            async with asyncio.timeout(PATIENCE_S):
                while (await another().read_samples("a", 0, 1 << 20)).count(b"\n") < 3:
                    await asyncio.sleep(0.01)
        finally:
            await executor.cancel("a")
        assert (await executor.wait("a", PATIENCE_S)).reason == "canceled"
        found = lines(await executor.read_samples("a", 0, 1 << 20))
        assert [line["step"] for line in found] == list(range(len(found)))
        assert found[0]["job_processes"] >= 1

    async def test_a_part(self, executor: Executor, bench: Bench):
        await run(executor, bench.spec("a", sh("exit 0"), sample_s=10))
        whole = await executor.read_samples("a", 0, 1 << 20)
        assert await executor.read_samples("a", 2, 5) == whole[2:7]
        assert await executor.read_samples("a", len(whole), 5) == b""

    async def test_where_none_are_asked_for_or_nothing_is_known(self, executor: Executor, bench: Bench):
        await run(executor, bench.spec("a", sh("exit 0")))
        assert await executor.read_samples("a", 0, 100) == await executor.read_samples("b", 0, 100) == b""
        await executor.forget("a")

    @pytest.mark.parametrize("wrong", [0, -1, float("nan"), float("inf")])
    async def test_an_interval_that_cannot_be_is_refused(self, executor: Executor, bench: Bench, wrong: float):
        with pytest.raises(ValueError, match="sample_s"):
            await executor.start(bench.spec("a", sh("exit 0"), sample_s=wrong))

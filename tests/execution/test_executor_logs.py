"""What every executor must do: the logs of a launch can be read while it runs and after, wherever it runs."""

from __future__ import annotations

import asyncio

import pytest

from lazward.domain.ports import Executor
from tests.execution.conftest import PATIENCE_S, Bench, py, run, sh


class TestReadLog:
    @pytest.mark.parametrize(("start", "limit", "expected"), [(0, 100, b"0123456789"), (0, 4, b"0123"), (8, 4, b"89"), (10, 4, b""), (99, 4, b""), (-3, 100, b"789"), (-3, 2, b"78"), (-99, 2, b"01")])
    async def test_a_part(self, executor: Executor, bench: Bench, start: int, limit: int, expected: bytes):
        await run(executor, bench.spec("a", sh("printf 0123456789")))
        assert await executor.read_log("a", 0, start, limit) == expected

    async def test_of_each_process(self, executor: Executor, bench: Bench):
        await run(executor, bench.spec("a", sh("echo zero"), sh("echo one >&2")))
        assert [await executor.read_log("a", i, 0, 100) for i in range(3)] == [b"zero\n", b"one\n", b""]

    async def test_as_it_grows_no_byte_is_missed(self, executor: Executor, bench: Bench):
        await executor.start(bench.spec("a", py("import time\nfor i in range(200):\n print(i, 'x' * 1000, flush=True); time.sleep(0.002)")))
        ending, seen = asyncio.create_task(executor.wait("a", PATIENCE_S)), b""
        while not ending.done():
            seen += await executor.read_log("a", 0, len(seen), 7777)
        while piece := await executor.read_log("a", 0, len(seen), 7777):
            seen += piece
        assert seen == "".join(f"{i} {'x' * 1000}\n" for i in range(200)).encode()

    async def test_by_another_worker(self, executor: Executor, another, bench: Bench):
        await run(executor, bench.spec("a", sh("echo hello")))
        assert await another().read_log("a", 0, 0, 100) == b"hello\n"

    async def test_says_why_a_command_could_not_be_started(self, executor: Executor, bench: Bench):
        status = await executor.start(bench.spec("a", ("no-such-program",)))
        assert await executor.read_log("a", 0, 0, 1000) == f"{status.message}\n".encode()

    async def test_where_there_is_none(self, executor: Executor, bench: Bench):
        assert await executor.read_log("a", 0, 0, 100) == b""  # unknown
        await executor.cancel("a")
        assert await executor.read_log("a", 0, 0, 100) == b""  # never started
        await run(executor, bench.spec("b", sh("echo hello")))
        assert await executor.read_log("b", -1, 0, 100) == b""
        await executor.forget("b")
        assert await executor.read_log("b", 0, 0, 100) == b""

    async def test_that_was_turned_into_something_else(self, executor: Executor, bench: Bench):
        """A launch may not show files of others as its log, nor keep a reader waiting."""
        (bench.folder / "secret").write_text("secret")
        for i, trick in enumerate(("ln -s $HERE/secret {}", "mkfifo {}", "mkdir {}", "true")):
            log = bench.log(f"a{i}")
            await run(executor, bench.spec(f"a{i}", sh(f"rm {log}; {trick.format(log)}")))
            assert await executor.read_log(f"a{i}", 0, 0, 100) == b""

    async def test_at_a_path_of_odd_bytes(self, executor: Executor, bench: Bench):
        odd = bench.folder / "a b\udcff\n\u2603"
        odd.mkdir()
        bench.folder = odd
        await run(executor, bench.spec("a", sh("echo hello")))
        assert await executor.read_log("a", 0, 0, 100) == b"hello\n"

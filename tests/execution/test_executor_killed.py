"""What every executor must do when the processes around a launch are killed: its worker (whoever holds the executor), and its keeper."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from lazward.domain.ports import Executor
from tests.execution.conftest import DAEMON, PATIENCE_S, REPORT_AND_SLEEP, Bench, Subject, is_alive, py, sh

TALKS = "echo $$ >> $PIDS; i=0; until test -e $HERE/go; do echo $((i=i+1)); sleep 0.02; done; echo done; exit 7"
TREE = DAEMON + "\nif os.fork() == 0: os.setsid()\nreport(); time.sleep(600)"  # a process, a child with a session of its own, a daemon


class TestWorkerIsKilled:
    async def test_the_launch_runs_on_and_another_attaches(self, executor: Executor, bench: Bench, elsewhere):
        starter = elsewhere(f"await executor.start(bench.spec('a', sh({TALKS!r}))); os.kill(os.getpid(), signal.SIGKILL)")
        assert starter.wait(PATIENCE_S) == -9
        status = await executor.start(bench.spec("a", sh("echo not again")))
        assert status.state == "running" and status.started
        waiting = asyncio.create_task(executor.wait("a", PATIENCE_S))
        await bench.reported(1)
        (bench.folder / "go").touch()
        status = await waiting
        assert (status.reason, status.code) == ("exit", 7)
        text = (await executor.read_log("a", 0, 0, 1 << 20)).decode()
        assert text == "".join(f"{i}\n" for i in range(1, text.count("\n"))) + "done\n"

    async def test_the_launch_ends_meanwhile(self, executor: Executor, bench: Bench, elsewhere):
        starter = elsewhere("await executor.start(bench.spec('a', sh('echo hello; exit 5'))); os.kill(os.getpid(), signal.SIGKILL)")
        assert starter.wait(PATIENCE_S) == -9
        assert (await executor.wait("a", PATIENCE_S)).code == 5
        assert await executor.read_log("a", 0, 0, 100) == b"hello\n"

    async def test_another_can_stop_it_with_all_that_it_started(self, executor: Executor, bench: Bench, elsewhere):
        starter = elsewhere(f"await executor.start(bench.spec('a', py({TREE!r}), grace_s=0.2)); os.kill(os.getpid(), signal.SIGKILL)")
        assert starter.wait(PATIENCE_S) == -9
        tree = await bench.reported(3)
        await executor.cancel("a")
        assert (await executor.wait("a", PATIENCE_S)).reason == "canceled"
        assert len(tree) == 3 and not any(map(is_alive, tree))

    async def test_its_limits_hold_while_nobody_looks(self, executor: Executor, bench: Bench, elsewhere):
        flood = "echo $$ >> $PIDS; for i in $(seq 200); do head -c 100000 /dev/zero; done; sleep 600"
        starter = elsewhere(f"await executor.start(bench.spec('a', sh({flood!r}), log_bytes=1 << 20)); os.kill(os.getpid(), signal.SIGKILL)")
        assert starter.wait(PATIENCE_S) == -9
        assert (await executor.wait("a", PATIENCE_S)).reason == "log"


class TestKeeperIsKilled:
    async def test_the_launch_is_lost_and_its_tree_is_gone(self, subject: Subject, executor: Executor, another, bench: Bench):
        await executor.start(bench.spec("a", py(TREE)))
        tree = await bench.reported(3)
        waits = [asyncio.create_task(e.wait("a", PATIENCE_S)) for e in (executor, another())]
        os.kill(subject.keeper(executor, "a"), signal.SIGKILL)
        first, second = await asyncio.gather(*waits)
        assert first == second and (first.state, first.reason, first.code) == ("ended", "lost", None)
        assert first.message.endswith(".") and first.started and first.ended
        assert len(tree) == 3 and not any(map(is_alive, tree))

    async def test_it_is_never_started_again_but_can_be_forgotten(self, subject: Subject, executor: Executor, bench: Bench):
        await executor.start(bench.spec("a", sh("echo said; " + REPORT_AND_SLEEP)))
        await bench.reported(1)
        os.kill(subject.keeper(executor, "a"), signal.SIGKILL)
        status = await executor.wait("a", PATIENCE_S)
        assert await executor.start(bench.spec("a", sh("echo again"))) == status
        assert await executor.read_log("a", 0, 0, 100) == b"said\n"
        await executor.forget("a")
        assert (await executor.poll("a")).state == "unknown"

    async def test_neighbours_run_on(self, subject: Subject, executor: Executor, bench: Bench):
        await executor.start(bench.spec("a", sh("sleep 600")))
        await executor.start(bench.spec("neighbour", sh("until test -e $HERE/go; do sleep 0.02; done; exit 3")))
        os.kill(subject.keeper(executor, "a"), signal.SIGKILL)
        assert (await executor.wait("a", PATIENCE_S)).reason == "lost"
        (bench.folder / "go").touch()
        assert (await executor.wait("neighbour", PATIENCE_S)).code == 3

    @pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
    async def test_and_it_is_canceled(self, subject: Subject, executor: Executor, bench: Bench, before: bool):
        await executor.start(bench.spec("a", sh("trap '' TERM; " + REPORT_AND_SLEEP)))
        [process] = await bench.reported(1)
        keeper = subject.keeper(executor, "a")
        if before:
            await executor.cancel("a")
        os.kill(keeper, signal.SIGKILL)
        if not before:
            await executor.cancel("a")
        status = await executor.wait("a", PATIENCE_S)
        assert status.state == "ended" and status.reason in ("canceled", "lost")
        assert not is_alive(process)

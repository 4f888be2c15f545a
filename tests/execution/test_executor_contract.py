"""What every executor must do: starts, ends, waiting, forgetting. With test_executor_killed.py, _limits.py, _logs.py and _surroundings.py this
is the conformance suite; a new executor is added to SUBJECTS in conftest.py."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

import pytest

from lazward.domain.ports import Executor, LaunchIsRunning, LaunchSpec, ProcessSpec
from tests.execution.conftest import DAEMON, PATIENCE_S, REPORT_AND_SLEEP, Bench, is_alive, py, run, sh, until


class TestEnds:
    async def test_well(self, executor: Executor, bench: Bench):
        status = await run(executor, bench.spec("a", sh("echo hello; echo world >&2")))
        assert (status.state, status.reason, status.code, status.signal) == ("ended", "exit", 0, None)
        assert bench.log("a").read_text() == "hello\nworld\n"
        assert status.started and status.ended and status.started <= status.ended
        assert status == await executor.poll("a")

    @pytest.mark.parametrize("code", [1, 3, 255])
    async def test_with_an_exit_code(self, executor: Executor, bench: Bench, code: int):
        status = await run(executor, bench.spec("a", sh(f"exit {code}")))
        assert (status.reason, status.code, status.failed_process) == ("exit", code, 0)
        assert str(code) in status.message

    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGPIPE, signal.SIGHUP])
    async def test_by_a_signal(self, executor: Executor, bench: Bench, number: signal.Signals):
        """SIGPIPE and SIGHUP too: what this process ignores is not ignored below it."""
        status = await run(executor, bench.spec("a", sh(f"kill -{int(number)} $$; sleep 60")))
        assert (status.reason, status.signal, status.code) == ("signal", number, None)
        assert number.name in status.message
        assert ("memory" in status.message) == (number == signal.SIGKILL)

    async def test_killed_from_outside(self, executor: Executor, bench: Bench):
        await executor.start(bench.spec("a", sh(REPORT_AND_SLEEP)))
        [process] = await bench.reported(1)
        os.kill(process.pid, signal.SIGKILL)
        status = await executor.wait("a", PATIENCE_S)
        assert (status.reason, status.signal) == ("signal", 9)

    async def test_at_the_time_limit(self, executor: Executor, bench: Bench):
        status = await run(executor, bench.spec("a", sh("sleep 600"), timeout_s=0.2))
        assert (status.reason, status.code) == ("timeout", None)
        assert "0.2 s" in status.message

    async def test_over_the_memory_limit(self, executor: Executor, bench: Bench):
        hungry = "import time; held = [bytearray(1 << 20) for _ in range(150)]; time.sleep(600)"
        status = await run(executor, bench.spec("a", py(hungry), memory_bytes=100 << 20))
        assert status.reason == "memory"
        assert "100.0 MiB" in status.message
        assert status.peak_memory_bytes and status.peak_memory_bytes > 100 << 20

    async def test_with_its_peak_memory(self, executor: Executor, bench: Bench):
        status = await run(executor, bench.spec("a", py("bytearray(80 << 20)")))
        assert status.peak_memory_bytes and 80 << 20 < status.peak_memory_bytes < 200 << 20

    async def test_without_losing_output(self, executor: Executor, bench: Bench):
        status = await run(executor, bench.spec("a", py("for i in range(50): print(chr(65 + i) * ((1 << 20) - 1))")))
        assert status.code == 0
        assert bench.log("a").read_bytes() == b"".join(bytes([65 + i]) * ((1 << 20) - 1) + b"\n" for i in range(50))


class TestStart:
    async def test_is_running(self, executor: Executor, bench: Bench):
        status = await executor.start(bench.spec("a", sh(REPORT_AND_SLEEP)))
        assert status.state == "running" and status.started
        assert (await executor.wait("a", 0.01)).state == "running"
        await executor.cancel("a")

    async def test_again_does_not_run_again(self, executor: Executor, bench: Bench):
        spec = bench.spec("a", sh("echo once; exit 4"))
        first = await run(executor, spec)
        assert await executor.start(spec) == first
        assert bench.log("a").read_text() == "once\n"

    async def test_at_once_from_many_tasks_and_processes_runs_once(self, executor: Executor, bench: Bench, elsewhere):
        spec = "bench.spec('a', sh('echo once; sleep 0.2'))"
        code = f"""
    (bench.folder / f"ready{{os.getpid()}}").touch()
    while not (bench.folder / "go").exists(): await asyncio.sleep(0.001)
    print([s.state for s in await asyncio.gather(*(executor.start({spec}) for _ in range(3)))])"""
        others = [elsewhere(code) for _ in range(3)]
        await until(lambda: len(list(bench.folder.glob("ready*"))) == 3)
        (bench.folder / "go").touch()
        await asyncio.gather(*(executor.start(bench.spec("a", sh("echo once; sleep 0.2"))) for _ in range(3)))
        for other in others:
            output, _ = other.communicate(timeout=PATIENCE_S)
            assert other.returncode == 0 and "unknown" not in output
        assert (await executor.wait("a", PATIENCE_S)).code == 0
        assert bench.log("a").read_text() == "once\n"

    async def test_that_is_given_up_is_settled_when_its_caller_hears_so(self, executor: Executor, another, bench: Bench):
        """Nobody finds the name unknown and the command running a moment later."""
        starting = asyncio.create_task(executor.start(bench.spec("a", sh("exit 3"))))
        for _ in range(3):  # so that it has begun
            await asyncio.sleep(0)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        assert (await another().poll("a")).state != "unknown"
        assert (await executor.wait("a", PATIENCE_S)).code == 3

    async def test_many_at_once(self, executor: Executor, another, bench: Bench):
        """From two workers, each of which starts all of them; those of one do not disturb the others."""
        both = (executor, another())
        specs = [bench.spec(f"a{i}", sh(f"echo {i}; exit {i}")) for i in range(40)]
        await asyncio.gather(*(e.start(spec) for spec in specs for e in both))
        ends = await asyncio.gather(*(e.wait(spec.name, PATIENCE_S) for spec in specs for e in both))
        assert [status.code for status in ends] == [i for i in range(40) for _ in both]
        assert [bench.log(f"a{i}").read_text() for i in range(40)] == [f"{i}\n" for i in range(40)]

    @pytest.mark.parametrize(
        "name",
        ["..", "../../x", "/etc/passwd", "a/b", ".", "-rf", "ü☃𝄞", "x" * 300, "a b\n\t'\"$(touch pwned)", "\udc80", "A", "%2e%2e", "CON"],
        ids=ascii,
    )
    async def test_with_an_odd_name(self, executor: Executor, bench: Bench, name: str):
        log = str(bench.folder / "log")
        spec = LaunchSpec(name, (ProcessSpec(sh("echo hello"), bench.env, log),), cwd=str(bench.folder))
        assert (await run(executor, spec)).code == 0
        assert sorted(os.listdir(bench.folder)) == ["launches", "log"]
        assert (await executor.poll(name + "x")).state == "unknown"
        await executor.forget(name)
        assert (await executor.poll(name)).state == "unknown"

    async def test_names_that_look_alike_are_different(self, executor: Executor, bench: Bench):
        for i, name in enumerate(("a/b", "a_b", "a b", "A_B", "a_b/", "x" * 200, "x" * 201)):
            assert (await run(executor, bench.spec(name, sh(f"exit {i}")))).code == i

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"name": ""}, "name"),
            ({"processes": ()}, "processes"),
            ({"cwd": "relative"}, "cwd"),
            ({"cwd": "/a\0b"}, "cwd"),
            ({"timeout_s": 0}, "timeout_s"),
            ({"timeout_s": float("nan")}, "timeout_s"),
            ({"memory_bytes": -1}, "memory_bytes"),
            ({"max_processes": 0}, "max_processes"),
            ({"log_bytes": -1}, "log_bytes"),
            ({"disk_bytes": 0}, "disk_bytes"),
            ({"free_disk_bytes": 0}, "free_disk_bytes"),
            ({"folder": "relative"}, "folder"),
            ({"folder": "/a\0b"}, "folder"),
            ({"grace_s": -1}, "grace_s"),
            ({"processes": (ProcessSpec((), {}, "/log"),)}, r"processes\[0\].argv"),
            ({"processes": (ProcessSpec(("a", "b\0c"), {}, "/log"),)}, r"processes\[0\].argv\[1\]"),
            ({"processes": (ProcessSpec(("a", "\ud800"), {}, "/log"),)}, r"processes\[0\].argv\[1\]"),
            ({"processes": (ProcessSpec(("a",), {"A=B": "c"}, "/log"),)}, "A=B"),
            ({"processes": (ProcessSpec(("a",), {"A": "\0"}, "/log"),)}, r"env\['A'\]"),
            ({"processes": (ProcessSpec(("a",), {}, "log"),)}, r"processes\[0\].log"),
        ],
    )
    async def test_refuses_what_cannot_be_meant(self, executor: Executor, change: dict, field: str):
        good = {"name": "a", "processes": (ProcessSpec(("true",), {}, "/dev/null"),), "cwd": "/"}
        with pytest.raises(ValueError, match=field):
            await executor.start(LaunchSpec(**{**good, **change}))


class TestSeveralProcesses:
    async def test_all_end_well(self, executor: Executor, bench: Bench):
        status = await run(executor, bench.spec("a", *(sh(f"echo {i}") for i in range(4))))
        assert (status.reason, status.code, status.failed_process) == ("exit", 0, None)
        assert [bench.log("a", i).read_text() for i in range(4)] == ["0\n", "1\n", "2\n", "3\n"]

    async def test_one_that_fails_stops_the_others(self, executor: Executor, bench: Bench):
        stubborn = "trap '' TERM; echo $$ >> $PIDS; while :; do sleep 0.1; done"
        polite = "trap 'echo stopped; exit 0' TERM; echo $$ >> $PIDS; while :; do sleep 0.1; done"
        failing = "until test $(wc -l < $PIDS) = 2; do sleep 0.05; done; exit 9"
        await executor.start(bench.spec("a", sh(stubborn), sh(failing), sh(polite), grace_s=0.5))
        others = await bench.reported(2)
        status = await executor.wait("a", PATIENCE_S)
        assert (status.reason, status.code, status.failed_process) == ("exit", 9, 1)
        assert "Process 1 of 3" in status.message
        assert bench.log("a", 2).read_text().endswith("stopped\n")  # the shell may tell of its `sleep` before
        assert not any(map(is_alive, others))

    async def test_one_that_ends_well_leaves_the_others(self, executor: Executor, bench: Bench):
        waiting = "until test -e first; do sleep 0.02; done; sleep 0.1; echo done"
        status = await run(executor, bench.spec("a", sh("touch first"), sh(waiting)))
        assert status.code == 0
        assert bench.log("a", 1).read_text() == "done\n"


class TestCancel:
    async def test_ends_a_whole_tree(self, executor: Executor, bench: Bench):
        """Daemons with sessions of their own, processes that ignore TERM, children of children."""
        nested = f"{sys.executable} -I -S -c '{DAEMON}' & sh -c '{REPORT_AND_SLEEP}' & echo $$ >> $PIDS; wait; sleep 600"
        await executor.start(bench.spec("a", py(DAEMON + "report(); time.sleep(600)"), sh(nested), grace_s=0.3))
        tree = await bench.reported(5)
        assert len(tree) == 5
        await executor.cancel("a")
        status = await executor.wait("a", PATIENCE_S)
        assert (status.state, status.reason, status.code, status.signal) == ("ended", "canceled", None, None)
        assert not any(map(is_alive, tree))

    async def test_a_command_that_takes_it_well(self, executor: Executor, bench: Bench):
        script = "trap 'echo saved; exit 0' TERM; echo $$ >> $PIDS; while :; do sleep 0.05; done"
        await executor.start(bench.spec("a", sh(script)))
        await bench.reported(1)
        await executor.cancel("a")
        assert (await executor.wait("a", PATIENCE_S)).reason == "canceled"
        assert bench.log("a").read_text().endswith("saved\n")

    async def test_before_the_start(self, executor: Executor, bench: Bench):
        await executor.cancel("a")
        assert (await executor.poll("a")).reason == "canceled"
        assert (await executor.start(bench.spec("a", sh("echo ran")))).reason == "canceled"
        assert not bench.log("a").exists()

    async def test_while_it_starts(self, executor: Executor, bench: Bench):
        """Either it never starts or it is stopped; it cannot run on."""
        for i in range(10):
            spec = bench.spec(f"a{i}", sh("sleep 600"))
            await asyncio.gather(executor.start(spec), executor.cancel(spec.name))
            assert (await executor.wait(spec.name, PATIENCE_S)).reason == "canceled"

    async def test_by_many_at_once(self, executor: Executor, bench: Bench):
        for i in range(5):
            await asyncio.gather(*(executor.cancel(f"a{i}") for _ in range(8)))
            assert (await executor.poll(f"a{i}")).reason == "canceled"

    async def test_after_the_end_changes_nothing(self, executor: Executor, bench: Bench):
        status = await run(executor, bench.spec("a", sh("exit 3")))
        await executor.cancel("a")
        assert await executor.poll("a") == status

    async def test_twice_and_from_another_process(self, executor: Executor, bench: Bench, elsewhere):
        await executor.start(bench.spec("a", sh(REPORT_AND_SLEEP)))
        other = elsewhere("await executor.cancel('a')")
        await executor.cancel("a")
        assert other.wait(PATIENCE_S) == 0
        assert (await executor.wait("a", PATIENCE_S)).reason == "canceled"

    async def test_a_tree_that_restarts_what_is_killed(self, executor: Executor, bench: Bench):
        phoenix = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
os.setpgrp()
with open(os.environ["PIDS"], "a") as file:
    file.write(f"{os.getpid()}\\n")
while True:  # whoever of the two dies is forked again by the other
    parent = os.getpid()
    child = os.fork()
    while child == 0:
        if os.getppid() != parent:
            parent = os.getpid()
            child = os.fork()
        time.sleep(0.0005)
    while os.path.exists(f"/proc/{child}/stat"):
        time.sleep(0.0005)
"""
        status = await executor.start(bench.spec("a", py(phoenix), grace_s=0.1))
        await bench.reported(1)
        await executor.cancel("a")
        status = await executor.wait("a", PATIENCE_S)
        assert status.reason == "canceled" and "could not be killed" not in status.message


class TestLeftovers:
    async def test_what_forks_away_does_not_survive(self, executor: Executor, bench: Bench):
        script = DAEMON + "while not os.path.exists(os.environ['PIDS']): time.sleep(0.01)"
        status = await run(executor, bench.spec("a", py(script), grace_s=0.1))
        assert (status.reason, status.code) == ("exit", 0)
        assert not any(map(is_alive, await bench.reported(1)))


class TestWait:
    async def test_many_at_once(self, executor: Executor, bench: Bench):
        await executor.start(bench.spec("a", sh("until test -e go; do sleep 0.02; done")))
        waits = [asyncio.create_task(executor.wait("a", PATIENCE_S)) for _ in range(200)]
        assert (await executor.wait("a", 0.05)).state == "running"
        (bench.folder / "go").touch()
        assert {status.code for status in await asyncio.gather(*waits)} == {0}

    async def test_for_a_launch_that_starts_later(self, executor: Executor, bench: Bench):
        waiting = asyncio.create_task(executor.wait("a", PATIENCE_S))
        assert (await executor.wait("a", 0.01)).state == "unknown"
        await executor.start(bench.spec("a", sh("exit 2")))
        assert (await waiting).code == 2

    async def test_that_is_given_up_leaves_nothing_behind(self, executor: Executor, bench: Bench):
        await executor.start(bench.spec("a", sh(REPORT_AND_SLEEP)))
        before = len(os.listdir("/dev/fd"))
        for _ in range(20):
            waiting = asyncio.create_task(executor.wait("a", PATIENCE_S))
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await executor.wait("a", 0.001)
        assert len(os.listdir("/dev/fd")) <= before + 2  # the spare keeper's pipes may come
        await executor.cancel("a")
        await executor.wait("a", PATIENCE_S)

    def test_on_uvloop(self, executor: Executor, bench: Bench):
        uvloop = pytest.importorskip("uvloop")
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            assert runner.run(run(executor, bench.spec("a", sh("sleep 0.05; exit 6")))).code == 6


class TestForget:
    async def test_refuses_while_it_runs(self, executor: Executor, bench: Bench):
        await executor.start(bench.spec("a", sh(REPORT_AND_SLEEP)))
        with pytest.raises(LaunchIsRunning, match="'a'"):
            await executor.forget("a")
        await executor.cancel("a")
        await executor.wait("a", PATIENCE_S)
        await executor.forget("a")
        assert (await executor.poll("a")).state == "unknown"

    async def test_lets_the_name_run_anew(self, executor: Executor, bench: Bench):
        for _ in range(2):
            assert (await run(executor, bench.spec("a", sh("echo ran")))).code == 0
            await executor.forget("a")
        assert bench.log("a").read_text() == "ran\nran\n"

    async def test_twice_and_from_many_at_once(self, executor: Executor, another, bench: Bench):
        for i in range(10):
            await run(executor, bench.spec(f"a{i}", sh("true")))
            other = another()
            await asyncio.gather(*(e.forget(f"a{i}") for e in (executor, executor, other, other)))
            await executor.forget(f"a{i}")
            assert (await executor.poll(f"a{i}")).state == "unknown"

    async def test_leaves_the_log(self, executor: Executor, bench: Bench):
        await run(executor, bench.spec("a", sh("echo kept")))
        await executor.forget("a")
        assert bench.log("a").read_text() == "kept\n"

    async def test_of_an_unknown_name_does_nothing(self, executor: Executor):
        await executor.forget("a")
        assert (await executor.poll("a")).state == "unknown"


def test_capacity(executor: Executor):
    has = executor.capacity()
    assert has.cores >= 1 and has.memory_bytes > 64 << 20 and has.gpus >= 0

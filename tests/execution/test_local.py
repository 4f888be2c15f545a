"""What is particular to the executor for this machine: its records, its keepers, and what happens when those are killed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lazward.domain.ports import LaunchSpec, NotStarted
from lazward.execution import local, processes
from lazward.execution.local import LocalExecutor
from lazward.execution.runtime import order, records
from tests.execution.conftest import DAEMON, PATIENCE_S, REPORT_AND_SLEEP, Bench, is_alive, py, sh, until


@pytest.fixture
def executor(bench: Bench) -> Iterator[LocalExecutor]:
    made = LocalExecutor(bench.folder / "launches")
    yield made
    made.close()


def keeper_of(executor: LocalExecutor, name: str) -> dict:
    return json.loads(Path(executor.folder(name), records.KEEPER).read_text())


def change_record(executor: LocalExecutor, name: str, **change) -> None:
    Path(executor.folder(name), records.KEEPER).write_text(json.dumps({**keeper_of(executor, name), **change}))


linux_only = pytest.mark.skipif(not processes.LINUX, reason="finds the idle keeper through /proc")


async def spare_of(executor: LocalExecutor) -> processes.Process:
    """The idle keeper: it reads from the pipe that its executor writes to, and has left its parent."""
    assert executor._spare and executor._spare.stdin
    pipe = os.fstat(executor._spare.stdin.fileno()).st_ino
    found: list[processes.Process] = []

    def look() -> bool:
        for process in processes.all_processes():
            with contextlib.suppress(OSError):
                if process.session == process.pid and os.stat(f"/proc/{process.pid}/fd/0").st_ino == pipe:
                    found.append(process)
        return bool(found)

    await until(look)
    return found[0]


async def start_tree(executor: LocalExecutor, bench: Bench) -> list[processes.Process]:
    """A launch "a" of a process, its child in a session of its own, and a daemon."""
    script = DAEMON + "\nif os.fork() == 0: os.setsid()\nreport(); time.sleep(600)"
    await executor.start(bench.spec("a", py(script)))
    return await bench.reported(3)


class TestKeeperIsKilled:
    async def test_a_process_that_hid_its_environment_is_found_by_its_session(self, executor: LocalExecutor, bench: Bench):
        await executor.start(bench.spec("a", sh(f"exec env -i PIDS=$PIDS sh -c '{REPORT_AND_SLEEP}'")))
        [process] = await bench.reported(1)
        os.kill(keeper_of(executor, "a")["pid"], signal.SIGKILL)
        assert (await executor.wait("a", PATIENCE_S)).reason == "lost"
        assert not is_alive(process)

    async def test_its_id_in_the_hands_of_another_fools_nobody(self, executor: LocalExecutor, bench: Bench):
        """The ids in the record now belong to a process that has nothing to do with the launch, but leads a session."""
        [_] = await self._start_and_report(executor, bench)
        keeper = keeper_of(executor, "a")
        innocent = subprocess.Popen(["sleep", "600"], start_new_session=True)  # noqa: ASYNC220
        try:
            os.kill(keeper["pid"], signal.SIGKILL)
            seen = processes.look_at(innocent.pid)
            assert seen
            change_record(executor, "a", pid=innocent.pid, start=seen.start + 1)
            assert (await executor.wait("a", PATIENCE_S)).reason == "lost"
            await executor.cancel("a")
            await executor.forget("a")
            assert innocent.poll() is None
        finally:
            innocent.kill()
            innocent.wait()

    async def test_a_wrong_start_time_of_a_living_keeper_changes_nothing(self, executor: LocalExecutor, bench: Bench):
        [process] = await self._start_and_report(executor, bench)
        change_record(executor, "a", start=1)
        assert (await executor.poll("a")).state == "running" and is_alive(process)
        await executor.cancel("a")
        assert (await executor.wait("a", PATIENCE_S)).reason == "canceled"

    async def test_a_launch_that_was_being_canceled_is_canceled(self, executor: LocalExecutor, bench: Bench):
        await executor.start(bench.spec("a", sh("trap '' TERM; " + REPORT_AND_SLEEP), grace_s=600))
        [process] = await bench.reported(1)
        await executor.cancel("a")
        os.kill(keeper_of(executor, "a")["pid"], signal.SIGKILL)
        assert (await executor.wait("a", PATIENCE_S)).reason == "canceled"
        assert not is_alive(process)

    async def test_with_the_machine(self, executor: LocalExecutor, bench: Bench):
        """After a restart of the machine the old ids mean nothing, so nobody is killed."""
        [process] = await self._start_and_report(executor, bench)
        keeper = keeper_of(executor, "a")
        change_record(executor, "a", boot="another")
        os.kill(keeper["pid"], signal.SIGKILL)
        status = await executor.wait("a", PATIENCE_S)
        assert status.reason == "lost" and "restarted" in status.message
        assert is_alive(process)
        os.kill(process.pid, signal.SIGKILL)

    async def test_with_the_machine_before_the_record_was_on_the_disk(self, executor: LocalExecutor, bench: Bench):
        folder = Path(executor.folder("a"))
        folder.mkdir()
        (folder / records.LOCK).touch()
        (folder / records.KEEPER).touch()
        status = await executor.start(bench.spec("a", sh("echo ran")))
        assert (status.reason, bench.log("a").exists()) == ("lost", False)

    async def test_by_a_fault_of_its_own_the_fault_is_told(self, executor: LocalExecutor, bench: Bench):
        await self._start_and_report(executor, bench)
        keeper_log = Path(executor.folder("a"), records.KEEPER_LOG)
        await until(keeper_log.exists)
        keeper_log.write_text("Traceback:\n  ...\nOSError: something broke\n")
        os.kill(keeper_of(executor, "a")["pid"], signal.SIGKILL)
        status = await executor.wait("a", PATIENCE_S)
        assert status.reason == "lost" and "OSError: something broke" in status.message

    async def test_politely_does_not_harm(self, executor: LocalExecutor, bench: Bench):
        await executor.start(bench.spec("a", sh("echo $$ >> $PIDS; until test -e go; do sleep 0.02; done; exit 3")))
        await bench.reported(1)
        keeper = keeper_of(executor, "a")["pid"]
        await until(lambda: Path(executor.folder("a"), records.KEEPER_LOG).exists())  # it listens
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.kill(keeper, number)
        (bench.folder / "go").touch()
        assert (await executor.wait("a", PATIENCE_S)).code == 3

    async def _start_and_report(self, executor: LocalExecutor, bench: Bench) -> list[processes.Process]:
        await executor.start(bench.spec("a", sh(REPORT_AND_SLEEP)))
        return await bench.reported(1)


class TestStarterIsKilled:
    async def test_after_the_folder_was_made(self, executor: LocalExecutor, bench: Bench):
        folder = Path(executor.folder("a"))
        for make in (folder.mkdir, (folder / records.LOCK).touch, lambda: os.mkfifo(folder / records.ALIVE)):
            make()
            assert (await executor.poll("a")).state == "unknown"
        await executor.start(bench.spec("a", sh("echo once")))
        await executor.start(bench.spec("a", sh("echo once")))
        assert (await executor.wait("a", PATIENCE_S)).code == 0
        assert bench.log("a").read_text() == "once\n"

    async def test_in_the_middle_of_the_order(self, executor: LocalExecutor, bench: Bench):
        spec = bench.spec("a", sh("echo once"))
        what = order.encode(local._order(spec, executor.folder("a")))
        assert local._command(local._new_keeper(), what[:-20]) == ""
        assert (await executor.poll("a")).state == "unknown"
        await executor.start(spec)
        assert (await executor.wait("a", PATIENCE_S)).code == 0

    async def test_at_any_moment(self, executor: LocalExecutor, bench: Bench):
        """Whenever the starter dies, the launch can be started again, and runs once."""
        script = f"""
import asyncio, os, signal, time
from pathlib import Path
from lazward.execution.local import LocalExecutor
from tests.execution.conftest import Bench, sh
bench = Bench(Path({str(bench.folder)!r}))
for i in range(20):
    starter = os.fork()
    if starter == 0:
        asyncio.run(LocalExecutor(bench.folder / "launches").start(bench.spec(f"a{{i}}", sh("echo once"))))
        os._exit(0)
    time.sleep(i * 0.003)
    if i < 19:
        os.kill(starter, signal.SIGKILL)
    os.waitpid(starter, 0)
"""
        command = [sys.executable, "-c", script]
        subprocess.run(command, cwd=Path(__file__).parents[2], check=True)  # noqa: ASYNC221
        assert (await executor.poll("a0")).state == "unknown"  # killed before it did anything
        assert (await executor.poll("a19")).state != "unknown"  # not killed
        for i in range(20):
            await executor.start(bench.spec(f"a{i}", sh("echo once")))
            assert (await executor.wait(f"a{i}", PATIENCE_S)).code == 0
            assert bench.log(f"a{i}").read_text() == "once\n"

    @linux_only
    async def test_the_idle_keeper_goes_with_it(self, bench: Bench):
        script = f"""
import asyncio, os, signal
from pathlib import Path
from lazward.execution.local import LocalExecutor
from tests.execution.test_local import spare_of
async def main():
    executor = LocalExecutor(Path({str(bench.folder / "launches")!r}))
    await executor.warm()
    print((await spare_of(executor)).pid)
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""
        command = [sys.executable, "-u", "-c", script]
        done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True)  # noqa: ASYNC221
        assert done.returncode == -9, done.stderr
        await until(lambda: processes.look_at(int(done.stdout)) is None)


class TestSpareKeeper:
    @linux_only
    async def test_that_was_killed_is_replaced(self, executor: LocalExecutor, bench: Bench):
        await executor.warm()
        os.kill((await spare_of(executor)).pid, signal.SIGKILL)
        await executor.start(bench.spec("a", sh("exit 3")))
        assert (await executor.wait("a", PATIENCE_S)).code == 3

    async def test_is_used_once(self, executor: LocalExecutor, bench: Bench):
        await executor.warm()
        for i in range(3):
            await executor.start(bench.spec(f"a{i}", sh(REPORT_AND_SLEEP)))
        assert len({keeper_of(executor, f"a{i}")["pid"] for i in range(3)}) == 3
        for i in range(3):
            await executor.cancel(f"a{i}")
            assert (await executor.wait(f"a{i}", PATIENCE_S)).reason == "canceled"

    async def test_starts_work_after_close(self, executor: LocalExecutor, bench: Bench):
        await executor.warm()
        executor.close()
        assert executor._spare is None


class TestRecords:
    async def test_are_private_and_hold_no_secret(self, executor: LocalExecutor, bench: Bench):
        env = {**bench.env, "TOKEN": "s3cret-of-the-job"}
        await executor.start(bench.spec("a", sh(REPORT_AND_SLEEP), env=env))
        await bench.reported(1)
        await executor.cancel("a")
        await executor.wait("a", PATIENCE_S)
        everything = [executor.root, *executor.root.rglob("*")]
        for path in everything:
            assert stat.S_IMODE(path.lstat().st_mode) & 0o077 == 0, path
            if path.is_file():
                assert b"s3cret" not in path.read_bytes(), path

    async def test_a_full_disk_does_not_lose_the_end(self, executor: LocalExecutor, bench: Bench):
        """The folder cannot be written for a while; the launch runs on as far as anybody can tell, then it has ended."""
        spec = bench.spec("a", sh("until test -e go; do sleep 0.02; done; exit 3"))
        await executor.start(spec)
        folder = Path(executor.folder("a"))
        keeper = keeper_of(executor, "a")["pid"]
        obstacle = folder / f"{records.EXIT}.{keeper}.tmp"
        obstacle.mkdir()  # where it writes first
        (bench.folder / "go").touch()
        complaints = folder / records.KEEPER_LOG
        await until(lambda: complaints.exists() and "cannot write exit.json" in complaints.read_text())
        assert (await executor.poll("a")).state == "running"
        obstacle.rmdir()
        assert (await executor.wait("a", PATIENCE_S)).code == 3

    async def test_that_are_removed_end_the_launch_and_its_keeper(self, executor: LocalExecutor, bench: Bench):
        await executor.start(bench.spec("a", sh(REPORT_AND_SLEEP)))
        [process] = await bench.reported(1)
        keeper = processes.look_at(keeper_of(executor, "a")["pid"])
        assert keeper
        executor.root.rename(bench.folder / "elsewhere")
        await until(lambda: not is_alive(keeper))
        assert not is_alive(process)

    async def test_what_a_crash_left_of_forgotten_launches_is_removed(self, executor: LocalExecutor, bench: Bench):
        left = executor.root / ".forgotten" / "x" / records.KEEPER
        left.parent.mkdir(parents=True)
        left.touch()
        await executor.start(bench.spec("a", sh("true")))
        await executor.wait("a", PATIENCE_S)
        await executor.forget("a")
        assert os.listdir(executor.root) == []

    async def test_two_executors_of_other_roots_share_no_launch(self, executor: LocalExecutor, bench: Bench):
        """The same name twice on one machine: the end of one does not touch the other."""
        other = LocalExecutor(bench.folder / "others")
        await executor.start(bench.spec("a", sh(REPORT_AND_SLEEP)))
        await other.start(bench.spec("a", sh(REPORT_AND_SLEEP)))
        await bench.reported(2)
        os.kill(keeper_of(executor, "a")["pid"], signal.SIGKILL)
        assert (await executor.wait("a", PATIENCE_S)).reason == "lost"
        assert (await other.poll("a")).state == "running"
        await other.cancel("a")
        assert (await other.wait("a", PATIENCE_S)).reason == "canceled"
        other.close()


async def test_a_keeper_that_cannot_work_is_an_error_with_its_reason(executor: LocalExecutor, bench: Bench):
    spec = bench.spec("a", sh("true"))
    Path(executor.folder("a")).touch()  # a file where the folder should be
    with pytest.raises(NotStarted, match=r"(?s)'a'.*(FileExistsError|NotADirectoryError)"):
        await executor.start(spec)


async def test_a_large_order(executor: LocalExecutor, bench: Bench):
    """More than a pipe holds."""
    env = {**bench.env, **{f"V{i}": "x" * 1000 for i in range(500)}}
    specs = [bench.spec("a", *(sh("echo $V499 | wc -c") for _ in range(8)), env=env)]
    assert isinstance(specs[0], LaunchSpec)
    await executor.start(specs[0])
    assert (await executor.wait("a", PATIENCE_S)).code == 0
    assert {bench.log("a", i).read_text().strip() for i in range(8)} == {"1001"}


@pytest.mark.skipif(not processes.LINUX, reason="the score is Linux's")
async def test_jobs_die_before_the_control_plane_when_memory_runs_out(executor: LocalExecutor, bench: Bench):
    await executor.start(bench.spec("a", sh("cat /proc/self/oom_score_adj; " + REPORT_AND_SLEEP)))
    await bench.reported(1)
    assert int(bench.log("a").read_text()) >= 300
    ours, keepers = Path("/proc/self/oom_score_adj"), Path(f"/proc/{keeper_of(executor, 'a')['pid']}/oom_score_adj")
    await until(lambda: keepers.read_text() == ours.read_text())
    await executor.cancel("a")
    await executor.wait("a", PATIENCE_S)


def test_the_keeper_imports_little(tmp_path: Path):
    """What it imports before the user's process starts is time that every launch waits for."""
    script = "import sys; sys.path.append(sys.argv[1]); import lazward.execution.runtime.keeper; print(sorted(sys.modules))"
    command = [sys.executable, "-I", "-S", "-c", script, str(Path(__file__).parents[2])]
    loaded = set(eval(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
    assert not loaded & {"json", "subprocess", "signal", "enum", "re", "typing", "pathlib", "collections", "msgspec", "asyncio"}
    assert {name for name in loaded if name.startswith("lazward")} == {
        "lazward",
        "lazward.execution",
        "lazward.execution.processes",
        "lazward.execution.runtime",
        *(f"lazward.execution.runtime.{name}" for name in ("crowd", "keeper", "memory", "order", "records", "spawn", "words")),
    }

"""What every executor must do: a launch that reaches a limit is stopped with all its processes and says which; its neighbours run on."""

from __future__ import annotations

import os
import shutil

import pytest

from lazward.domain.ports import Executor
from tests.execution.conftest import PATIENCE_S, REPORT_AND_SLEEP, Bench, is_alive, py, run, sh, until

# Forks until there are 2**7 of it (so that a limit that fails does not take the machine down), half of them in sessions of their own.
BOMB = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for depth in range(7):
    if os.fork() == 0 and depth % 2:
        os.setsid()
    if depth < 3:
        with open(os.environ["PIDS"], "a") as file:
            file.write(f"{os.getpid()}\\n")
time.sleep(600)
"""
# Writes in the background, from a daemon that its parent does not wait for; does not care whether it is asked to end.
FLOOD = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    with open(os.environ["PIDS"], "a") as file:
        file.write(f"{os.getpid()}\\n")
    line = b"x" * 1023 + b"\\n"
    for _ in range(200):  # MiB: so that a limit that fails does not fill the disk
        os.write(1, line * 1024)
time.sleep(600)
"""


class Neighbour:
    """A launch beside another: it must not notice anything."""

    def __init__(self, executor: Executor, bench: Bench):
        self.executor = executor
        self.bench = bench

    async def begin(self, **limits) -> None:
        await self.executor.start(self.bench.spec("neighbour", sh("echo begun; until test -e $HERE/go; do sleep 0.05; done; echo done; exit 3"), **limits))
        await until(lambda: self.bench.log("neighbour").read_text() == "begun\n")

    async def ended_well(self) -> bool:
        (self.bench.folder / "go").touch()
        status = await self.executor.wait("neighbour", PATIENCE_S)
        return (status.reason, status.code) == ("exit", 3) and self.bench.log("neighbour").read_text() == "begun\ndone\n"


@pytest.fixture
def neighbour(executor: Executor, bench: Bench) -> Neighbour:
    return Neighbour(executor, bench)


class TestProcesses:
    async def test_one_that_forks_without_end(self, executor: Executor, bench: Bench, neighbour: Neighbour):
        await neighbour.begin(max_processes=50)
        status = await run(executor, bench.spec("a", py(BOMB), max_processes=50))
        assert (status.reason, status.code) == ("processes", None)
        assert "50" in status.message
        assert not any(map(is_alive, await bench.reported(4)))
        assert await neighbour.ended_well()

    async def test_as_many_as_it_may_have(self, executor: Executor, bench: Bench):
        status = await run(executor, bench.spec("a", sh("for i in 1 2 3 4; do sleep 0.5 & done; wait"), max_processes=5))
        assert (status.reason, status.code) == ("exit", 0)

    async def test_threads_count_too(self, executor: Executor, bench: Bench):
        crowd = "import threading, time\nfor _ in range(40): threading.Thread(target=time.sleep, args=(600,)).start()"
        status = await run(executor, bench.spec("a", py(crowd), max_processes=4))
        assert status.reason == "processes" and "41 threads" in status.message and "32" in status.message


class TestLog:
    async def test_a_daemon_that_floods_it(self, executor: Executor, bench: Bench, neighbour: Neighbour):
        await neighbour.begin(log_bytes=1 << 20)
        status = await run(executor, bench.spec("a", py(FLOOD), log_bytes=5 << 20, grace_s=600))
        assert (status.reason, status.code) == ("log", None)  # long before its time of grace
        assert "5.0 MiB" in status.message
        assert not any(map(is_alive, await bench.reported(1)))
        assert await neighbour.ended_well()

    async def test_of_all_processes_together(self, executor: Executor, bench: Bench):
        half = sh("head -c 600000 /dev/zero; sleep 600")
        status = await run(executor, bench.spec("a", half, half, log_bytes=1_000_000))
        assert status.reason == "log"

    async def test_that_its_program_removes(self, executor: Executor, bench: Bench):
        """Out of sight it takes the same room."""
        hidden = f"rm {bench.log('a')}; for i in $(seq 100); do head -c 1000000 /dev/zero; done; sleep 600"
        assert (await run(executor, bench.spec("a", sh(hidden), log_bytes=5 << 20))).reason == "log"

    async def test_a_slow_one_may_end_by_itself(self, executor: Executor, bench: Bench):
        polite = "trap 'echo saved; exit 0' TERM; head -c 100000 /dev/zero; while :; do sleep 0.05; done"
        status = await run(executor, bench.spec("a", sh(polite), log_bytes=99_000))
        assert status.reason == "log"
        assert bench.log("a").read_bytes().endswith(b"saved\n")

    async def test_up_to_the_limit(self, executor: Executor, bench: Bench):
        assert (await run(executor, bench.spec("a", sh("head -c 100000 /dev/zero; sleep 0.5"), log_bytes=100_000))).code == 0


class TestDisk:
    async def test_a_folder_that_grows(self, executor: Executor, bench: Bench, neighbour: Neighbour):
        for name in ("mine", "others"):
            (bench.folder / name).mkdir()
        await neighbour.begin(folder=str(bench.folder / "others"), disk_bytes=10 << 20)
        grow = "mkdir -p mine/deep/er; head -c 30000000 /dev/zero > mine/deep/er/big; echo x > mine/small; " + REPORT_AND_SLEEP
        status = await run(executor, bench.spec("a", sh(grow), folder=str(bench.folder / "mine"), disk_bytes=20 << 20))
        assert (status.reason, status.code) == ("disk", None)
        assert "20.0 MiB" in status.message and "'deep/er/big'" in status.message
        assert await neighbour.ended_well()

    async def test_many_small_files(self, executor: Executor, bench: Bench):
        grow = "import os\nfor i in range(3000):\n open(f'f{i}', 'w').write('x')\nimport time; time.sleep(600)"
        (bench.folder / "mine").mkdir()
        spec = bench.spec("a", py(grow), cwd=str(bench.folder / "mine"), disk_bytes=10 << 20)
        assert (await run(executor, spec)).reason == "disk"

    async def test_what_others_share_does_not_count(self, executor: Executor, bench: Bench):
        """An input is a hard link into the cache."""
        (bench.folder / "mine").mkdir()
        (bench.folder / "cached").write_bytes(bytes(5 << 20))
        os.link(bench.folder / "cached", bench.folder / "mine" / "input")
        (bench.folder / "mine" / "loop").symlink_to(bench.folder)
        spec = bench.spec("a", sh("sleep 0.5; exit 4"), folder=str(bench.folder / "mine"), disk_bytes=1 << 20)
        assert (await run(executor, spec)).code == 4


def a_little_less_than_is_free(bench: Bench) -> int:
    free = shutil.disk_usage(bench.folder).free
    if free < 5 << 30 or not hasattr(os, "posix_fallocate"):
        pytest.skip("needs a disk with some room that can be taken without writing")
    return free - (1 << 30)


@pytest.mark.xdist_group("disk")  # what one of them frees would be room for another's
class TestSpace:
    """The disk of the tests stands in for one that is nearly full: what is to stay free is a little less than what is free."""

    async def test_the_one_that_fills_the_disk_is_stopped(self, executor: Executor, bench: Bench, neighbour: Neighbour):
        reserve = a_little_less_than_is_free(bench)
        (bench.folder / "mine").mkdir()
        (bench.folder / "others").mkdir()
        await neighbour.begin(folder=str(bench.folder / "others"), free_disk_bytes=reserve)
        fill = """
import os, time
with open("mine/filled", "wb") as file:
    os.posix_fallocate(file.fileno(), 0, 3 << 30)
    time.sleep(600)
"""
        status = await run(executor, bench.spec("a", py(fill), folder=str(bench.folder / "mine"), free_disk_bytes=reserve))
        assert (status.reason, status.code) == ("space", None)
        assert "3.00 GiB" in status.message and "'filled'" in status.message
        (bench.folder / "mine" / "filled").unlink()
        assert await neighbour.ended_well()

    async def test_files_elsewhere_and_without_a_name_are_seen(self, executor: Executor, bench: Bench, neighbour: Neighbour):
        reserve = a_little_less_than_is_free(bench)
        for name in ("mine", "others", "elsewhere"):
            (bench.folder / name).mkdir()
        (bench.folder / "others" / "held").write_bytes(bytes(80 << 20))  # enough to be accused, were it the most
        await neighbour.begin(folder=str(bench.folder / "others"), free_disk_bytes=reserve)
        fill = """
import os, time
with open("elsewhere/filled", "wb") as file:
    os.unlink(file.name)
    os.posix_fallocate(file.fileno(), 0, 3 << 30)
    time.sleep(600)
"""
        status = await run(executor, bench.spec("a", py(fill), folder=str(bench.folder / "mine"), free_disk_bytes=reserve))
        assert status.reason == "space"
        assert await neighbour.ended_well()

    async def test_nobody_is_stopped_for_what_no_launch_holds(self, executor: Executor, bench: Bench):
        reserve = shutil.disk_usage(bench.folder).free + (1 << 30)
        (bench.folder / "mine").mkdir()
        spec = bench.spec("a", sh("echo x > mine/small; sleep 1.5; exit 5"), folder=str(bench.folder / "mine"), free_disk_bytes=reserve)
        assert (await run(executor, spec)).code == 5

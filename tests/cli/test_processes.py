import os
import signal
import subprocess
import sys

import pytest

from lazward.cli import processes

PAUSE = "import signal; print('up', flush=True); signal.pause()"


def started(code, **more):
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, **more)
    process.stdout.readline()
    return process


class TestIdentity:
    def test_stays_the_same_while_it_runs(self):
        assert processes.identity(os.getpid()) == processes.identity(os.getpid())
        assert processes.is_same(os.getpid(), processes.identity(os.getpid()))

    def test_a_zombie_is_gone(self):
        process = started("print()")
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and nobody has taken its status
        assert processes.identity(process.pid) is None
        process.wait()
        assert processes.identity(process.pid) is None

    def test_differs_between_processes(self):
        first, second = started(PAUSE), started(PAUSE)
        try:
            assert not processes.is_same(second.pid, processes.identity(os.getpid()))
        finally:
            for process in (first, second):
                process.kill()
                process.wait()

    @pytest.mark.parametrize("pid", [0, -1, 2**22 + 1])
    def test_there_is_no_such_process(self, pid):
        assert processes.identity(pid) is None
        assert not processes.is_same(pid, None)

    @pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
    def test_a_name_made_to_deceive(self, tmp_path):
        program = tmp_path / "a) Z 1 (b"
        program.symlink_to("/bin/sleep")
        process = subprocess.Popen([program, "60"])
        try:
            assert processes.identity(process.pid)
        finally:
            process.kill()
            process.wait()


class TestEnd:
    @pytest.mark.parametrize("code", [PAUSE, "import signal; signal.signal(15, signal.SIG_IGN); " + PAUSE])
    def test_ends_it_by_term_or_else_by_kill(self, code):
        # A child of this test would stay a zombie until it is waited for, which counts as gone.
        process = started(code)
        assert processes.end(process.pid, processes.identity(process.pid), 0.2)
        assert process.wait() in (-signal.SIGTERM, -signal.SIGKILL)

    def test_leaves_another_one_of_that_pid_alone(self):
        assert processes.end(os.getpid(), "another boot:1", 0)


class TestDieWith:
    @pytest.mark.skipif(sys.platform != "linux", reason="Linux only; elsewhere the next `lazward up` ends what is left")
    def test_a_child_ends_when_its_parent_is_killed(self, wait_for):
        code = (
            "import os, subprocess, sys; from lazward.cli.processes import die_with\n"
            f"child = subprocess.Popen([sys.executable, '-c', {PAUSE!r}], stdout=subprocess.PIPE, preexec_fn=die_with(os.getpid()))\n"
            "child.stdout.readline(); print(child.pid, flush=True); child.wait()"
        )
        parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        child = int(parent.stdout.readline())
        identity = processes.identity(child)
        assert identity
        parent.kill()
        parent.wait()
        wait_for(lambda: not processes.is_same(child, identity))


class TestWaitUntil:
    def test_the_last_answer(self):
        answers = iter([False, False, True])
        assert processes.wait_until(lambda: next(answers), 10, pause=0)
        assert not processes.wait_until(lambda: False, 0)

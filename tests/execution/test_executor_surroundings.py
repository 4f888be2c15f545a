"""What every executor must do: the surroundings of a process, and what is said when there is none to start."""

from __future__ import annotations

import os
import socket

from lazward.domain.ports import Executor, LaunchSpec, LaunchStatus, ProcessSpec
from tests.execution.conftest import PATIENCE_S, REPORT_AND_SLEEP, Bench, is_alive, py, run, sh


class TestCannotStart:
    async def check(self, executor: Executor, bench: Bench, spec: LaunchSpec, *words: str) -> LaunchStatus:
        status = await executor.start(spec)
        assert (status.state, status.reason, status.code) == ("ended", "launch", None)
        for word in words:
            assert word in status.message
        assert bench.log(spec.name, status.failed_process or 0).read_text() == status.message + "\n"
        return status

    async def test_a_program_that_is_not_on_the_path(self, executor: Executor, bench: Bench):
        spec = bench.spec("a", ("no-such-program",), env={"PATH": "/bin:/nowhere"})
        await self.check(executor, bench, spec, "no-such-program", "/bin:/nowhere")

    async def test_a_program_that_does_not_exist(self, executor: Executor, bench: Bench):
        await self.check(executor, bench, bench.spec("a", ("/no/such",)), "/no/such", "does not exist")

    async def test_a_program_that_is_not_executable(self, executor: Executor, bench: Bench):
        (bench.folder / "plain").write_text("#!/bin/sh\n")
        await self.check(executor, bench, bench.spec("a", ("./plain",)), "plain", "not executable")

    async def test_a_script_without_interpreter(self, executor: Executor, bench: Bench):
        script = bench.folder / "script"
        script.write_text("#!/no/interpreter\n")
        script.chmod(0o700)
        await self.check(executor, bench, bench.spec("a", (str(script),)), "interpreter")

    async def test_a_file_that_is_no_program(self, executor: Executor, bench: Bench):
        script = bench.folder / "script"
        script.write_text("neither\n")
        script.chmod(0o700)
        await self.check(executor, bench, bench.spec("a", (str(script),)), "#!")

    async def test_arguments_that_are_too_long(self, executor: Executor, bench: Bench):
        await self.check(executor, bench, bench.spec("a", ("true", "x" * (1 << 22))), "too long")

    async def test_a_working_directory_that_does_not_exist(self, executor: Executor, bench: Bench):
        await self.check(executor, bench, bench.spec("a", sh("true"), cwd="/no/such/folder"), "/no/such/folder")

    async def test_a_log_that_cannot_be_written(self, executor: Executor, bench: Bench):
        spec = LaunchSpec("a", (ProcessSpec(sh("true"), bench.env, "/no/such/log"),), cwd="/")
        status = await executor.start(spec)
        assert status.reason == "launch" and "/no/such/log" in status.message

    async def test_the_second_process_ends_the_first(self, executor: Executor, bench: Bench):
        spec = bench.spec("a", sh(REPORT_AND_SLEEP), ("/no/such",))
        await executor.start(spec)
        status = await executor.wait("a", PATIENCE_S)
        assert (status.reason, status.failed_process) == ("launch", 1)
        if bench.pids.exists():
            assert not [process for process in await bench.reported(1) if is_alive(process)]


class TestSurroundings:
    async def test_the_environment_is_what_was_given_and_the_tag(self, executor: Executor, bench: Bench):
        given = {"B": "2", "A": "x=y\nz", "EMPTY": "", "Ü": "☃ \udcff", "PATH": "/bin:/usr/bin"}
        show = "import os, sys; sys.stdout.buffer.write(repr(dict(os.environb)).encode())"
        # LC_CTYPE is what this Python's own start adds under the C locale
        await run(executor, bench.spec("a", py(show), env=given))
        seen = {os.fsdecode(key): os.fsdecode(value) for key, value in eval(bench.log("a").read_text()).items()}
        assert seen.pop("LAZWARD_LAUNCH")
        seen.pop("LC_CTYPE", None)
        assert seen == given

    async def test_no_file_is_inherited(self, executor: Executor, bench: Bench):
        with socket.create_server(("127.0.0.1", 0)) as server, (bench.folder / "database").open("w") as database:
            for file in (server, database):
                os.set_inheritable(file.fileno(), True)
            count = "import os; print(sorted(os.listdir('/dev/fd'), key=int))"
            await run(executor, bench.spec("a", py(count), py(count)))
        for i in range(2):  # the fourth is the one that lists them
            assert bench.log("a", i).read_text() == "['0', '1', '2', '3']\n"

    async def test_stdin_is_empty(self, executor: Executor, bench: Bench):
        assert (await run(executor, bench.spec("a", sh("cat; exit 5")))).code == 5

    async def test_the_working_directory(self, executor: Executor, bench: Bench):
        folder = bench.folder / "ü b"
        folder.mkdir()
        await run(executor, bench.spec("a", sh("pwd -P"), cwd=str(folder)))
        assert bench.log("a").read_text() == f"{folder.resolve()}\n"

    async def test_logs_are_appended_and_private(self, executor: Executor, bench: Bench):
        log = bench.log("a")
        log.write_text("before\n")
        await run(executor, bench.spec("a", sh("echo after"), sh("umask")))
        assert log.read_text() == "before\nafter\n"
        other = bench.log("a", 1)
        assert (other.stat().st_mode & 0o777, other.read_text()) == (0o600, "0077\n")

    async def test_the_path_of_the_process_finds_its_program(self, executor: Executor, bench: Bench):
        program = bench.folder / "bin" / "sh"
        program.parent.mkdir()
        program.write_text("#!/bin/sh\necho mine\n")
        program.chmod(0o700)
        await run(executor, bench.spec("a", ("sh",), env={"PATH": f"/nowhere:{program.parent}:/bin"}))
        assert bench.log("a").read_text() == "mine\n"

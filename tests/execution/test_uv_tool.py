"""Running uv."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from lazward.execution.uv_tool import Uv, find_uv, without_secrets
from tests.execution.wheelhouse import alive


def script(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "tool"
    path.write_text(f"#!/bin/sh\n{text}")
    path.chmod(0o755)
    return path


class TestRun:
    async def test_the_real_uv(self) -> None:
        done = await Uv(find_uv(), {"PATH": os.environ["PATH"]}).run(["--version"])
        assert done.code == 0
        assert done.output.startswith("uv ")

    async def test_lines_come_as_they_are_written(self, tmp_path: Path) -> None:
        tool = script(tmp_path, f"echo one >&2; read x < {tmp_path}/go; echo two >&2; printf three >&2; echo out; exit 3")
        os.mkfifo(tmp_path / "go")
        lines: list[str] = []
        first = asyncio.Event()

        def log(line: str) -> None:
            lines.append(line)
            first.set()

        task = asyncio.create_task(Uv(tool, {}).run([], None, log))
        await asyncio.wait_for(first.wait(), 20)
        assert lines == ["one"]
        await asyncio.to_thread((tmp_path / "go").write_text, "\n")
        done = await task
        assert lines == ["one", "two", "three"]
        assert (done.code, done.output, done.errors) == (3, "out\n", "one\ntwo\nthree")

    async def test_secrets_of_index_urls_are_not_logged(self, tmp_path: Path) -> None:
        lines: list[str] = []
        await Uv(script(tmp_path, "echo see https://me:pass@h/simple >&2"), {}).run([], None, lines.append)
        assert lines == ["see https://***@h/simple"]

    async def test_sees_only_the_environment_it_is_given(self, tmp_path: Path) -> None:
        done = await Uv(script(tmp_path, "echo $A-$B-$UV_PYTHON_DOWNLOADS-$PWD; env | grep -c SECRET"), {"A": "1"}).run([], {"B": "2"})
        assert done.output == "1-2-manual-/\n0\n"

    async def test_a_tool_that_ignores_the_polite_signal_is_killed_when_cancelled(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pid")
        tool = script(tmp_path, f"trap '' TERM; echo $$ > {tmp_path}/pid; while :; do read x < {tmp_path}/never; done")
        os.mkfifo(tmp_path / "never")
        task = asyncio.create_task(Uv(tool, {}).run([]))
        pid = int(await asyncio.to_thread((tmp_path / "pid").read_text))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)

    async def test_cancelled_while_it_starts_nothing_is_left_either(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pids")
        tool = script(tmp_path, f"sleep 1000 & echo $$ $! > {tmp_path}/pids; wait")
        task = asyncio.create_task(Uv(tool, {"PATH": os.environ["PATH"]}).run([]))
        await asyncio.sleep(0)  # it has begun, and asyncio has not connected its pipes
        task.cancel()
        pids = asyncio.create_task(asyncio.to_thread((tmp_path / "pids").read_text))
        with pytest.raises(asyncio.CancelledError):
            await task
        os.close(os.open(tmp_path / "pids", os.O_RDWR))  # who was stopped before it wrote leaves the reader waiting
        assert not any(alive(int(pid)) for pid in (await pids).split())


class TestReaches:
    async def test_a_listening_port_is_reached(self) -> None:
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server:
            assert await Uv(Path("/x"), {}).reaches(f"http://127.0.0.1:{port}/simple")

    async def test_a_closed_one_is_not_and_is_not_asked_again_for_a_while(self) -> None:
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        uv = Uv(Path("/x"), {})
        assert not await uv.reaches(f"http://127.0.0.1:{port}")
        again = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", port)
        async with again:
            assert not await uv.reaches(f"http://127.0.0.1:{port}")

    async def test_behind_a_proxy_the_call_itself_decides(self) -> None:
        assert await Uv(Path("/x"), {"HTTPS_PROXY": "http://127.0.0.1:1"}).reaches("https://nowhere.invalid")


@pytest.mark.parametrize(
    ("text", "result"),
    [("https://u:p@h/x and http://t@k", "https://***@h/x and http://***@k"), ("git+ssh://git@h/x@v1", "git+ssh://***@h/x@v1"), ("a@b", "a@b")],
)
def test_without_secrets(text: str, result: str) -> None:
    assert without_secrets(text) == result

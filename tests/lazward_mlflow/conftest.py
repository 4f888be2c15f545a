"""A real server on a loopback port, a network in front of it that can fail, and real clients with the spool."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.server import until
from lazward.execution.client_plugin import installed
from tests.apps.tracking_app import PLAIN
from tests.conformance.tracking_server import TOKEN, Server, serve
from tests.lazward_mlflow.proxy import Proxy

REMOTE = Path(__file__).with_name("remote.py")


class Remote:
    """A client in a process of its own (remote.py)."""

    def __init__(self, env: dict[str, str], python: str = sys.executable):
        self.errors: list[str] = []
        self.process = subprocess.Popen([python, str(REMOTE)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env, text=True)
        self.begun = False

    def run(self, statements: str) -> Any:
        """What they put into `said`. Fails when they do."""
        answer = self.ask({"run": statements})
        assert "error" not in answer, answer["trace"]
        return answer["said"]

    def fails(self, statements: str) -> tuple[str, str]:
        """Type and text of the error."""
        answer = self.ask({"run": statements})
        assert "error" in answer, answer
        return tuple(answer["error"])

    def ask(self, wish: dict[str, Any]) -> dict[str, Any]:
        assert self.process.stdin and self.process.stdout
        if not self.begun:
            assert self.process.stdout.readline(), self.process.communicate()
            self.begun = True
        self.process.stdin.write(json.dumps(wish) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        return json.loads(line) if line else {}

    def end(self) -> str:
        """In good order; what it said on stderr."""
        if not self.begun:
            self.run("pass")
        _, said = self.process.communicate(timeout=120)
        assert self.process.returncode == 0, said
        return said

    def kill(self) -> None:
        self.ask({"die": 9})
        self.process.communicate()


class World:
    """folder: of the spools."""

    def __init__(self, server: Server, proxy: Proxy, folder: Path, plugin: Path):
        self.server, self.proxy, self.folder, self.plugin = server, proxy, folder, plugin
        self.remotes: list[Remote] = []

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.proxy.port}{PLAIN}"

    def environment(self, **more: str) -> dict[str, str]:
        return {
            **self.server.environment(), "PYTHONPATH": str(self.plugin), "MLFLOW_TRACKING_URI": self.uri, "MLFLOW_TRACKING_TOKEN": TOKEN, "LAZWARD_SPOOL": "on",
            "LAZWARD_SPOOL_DIR": str(self.folder), "LAZWARD_SPOOL_TIMEOUT": "1", "LAZWARD_SPOOL_EXIT_WAIT": "0", "LAZWARD_SPOOL_WAIT": "1", "LAZWARD_HEARTBEAT": "0",
            **more,
        }

    def remote(self, **environment: str) -> Remote:
        made = Remote(self.environment(**environment))
        self.remotes.append(made)
        return made

    def sync(self, *words: str, code: int = 0) -> str:
        env = {**self.environment(), "PYTHONPATH": str(self.plugin), **{k: v for k, v in os.environ.items() if k == "PATH"}}
        done = subprocess.run([sys.executable, "-m", "lazward_mlflow", "sync", *words], env=env, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == code, (done.stdout, done.stderr)
        return done.stdout

    def left(self) -> list[str]:
        """Journals with something in them."""
        return [str(path) for path in self.folder.rglob("journal") if path.stat().st_size]

    def settled(self) -> None:
        """Until nothing is left to be sent."""
        until(lambda: not self.left(), 60, what=lambda: self.left())


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("world")
    plugin = installed(folder / "plugin")
    with serve(folder, tls=False) as server:
        made = World(server, Proxy(server.port), folder / "spool", plugin)
        yield made
        for remote in made.remotes:
            if remote.process.poll() is None:
                remote.process.kill()
                remote.process.communicate()
        made.proxy.close()


@pytest.fixture
def network(world: World) -> Iterator[Callable[[str], None]]:
    """Sets what the network does; well again after the test."""

    def does(mode: str) -> None:
        world.proxy.mode = mode

    yield does
    if world.proxy.mode != "pass":
        world.proxy.mode = "pass"

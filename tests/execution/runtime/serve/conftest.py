from __future__ import annotations

import shutil

import pytest

from tests.execution.runtime.serve.processes import DEADLINE_S, Running


@pytest.fixture
def run():
    started = []

    def start(*args, **change) -> Running:
        started.append(Running(*args, **change))
        return started[-1]

    yield start
    for server in started:
        if server.process.poll() is None:
            server.process.terminate()
            server.process.wait(DEADLINE_S)
        shutil.rmtree(server.folder, ignore_errors=True)

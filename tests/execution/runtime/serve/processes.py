"""Model servers as processes, for tests."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx2

from lazward.execution.serving import Service, process_spec, read_status, worker_sockets

DEADLINE_S = 30


def wait_for(condition, explain=lambda: "") -> None:
    """Polls until the condition holds; fails after DEADLINE_S."""
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, f"not reached in {DEADLINE_S} s\n{explain()}"
        time.sleep(0.02)


class Running:
    def __init__(self, script: str, name: str = "score.py", **change) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="lz-"))
        (self.folder / name).parent.mkdir(exist_ok=True)
        (self.folder / name).write_text(script)
        values = {"app_root": self.folder, "entry_script": name, "timeout_s": 60, "grace_s": 10, **change}
        f = self.folder
        self.service = Service(Path(sys.executable), f / "s", f / "state.json", f / "log", **values)
        spec = process_spec(self.service)
        with open(spec.log, "ab") as log:
            self.process = subprocess.Popen(spec.argv, env=dict(spec.env), stdout=log, stderr=log)

    def ready(self) -> Running:
        def all_ready() -> bool:
            assert self.process.poll() is None, self.log
            return self.status is not None and all(worker.ready for worker in self.status.workers)

        wait_for(all_ready, lambda: self.log)
        return self

    @property
    def status(self):
        return read_status(self.service.state)

    @property
    def log(self) -> str:
        return Path(self.service.log).read_text()

    def client(self, index: int = 0) -> httpx2.Client:
        transport = httpx2.HTTPTransport(uds=worker_sockets(self.service)[index])
        return httpx2.Client(base_url="http://localhost", transport=transport, timeout=DEADLINE_S)

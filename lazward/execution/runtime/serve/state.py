"""The state of a model server: what the master writes to the state file and answers to probes."""

from __future__ import annotations

import json
import os
import tempfile
import time
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class WorkerState:
    """state: starting, ready, waiting (to be restarted), stopped. `error`: why it ended last; `traceback`: its tail."""

    index: int
    socket: str
    state: str = "starting"
    pid: int | None = None
    restarts: int = 0
    error: str | None = None
    traceback: str | None = None
    since: float = field(default_factory=time.time)  # unix seconds

    @property
    def ready(self) -> bool:
        return self.state == "ready"

    def become(self, state: str) -> None:
        self.state = state
        self.since = time.time()


@dataclass
class ServerState:
    """status: starting (no worker was ready yet), ready, degraded (was ready, no worker is now), failed (the model can not be
    loaded: the server ends), stopping, stopped."""

    pid: int
    workers: list[WorkerState]
    status: str = "starting"
    error: str | None = None
    traceback: str | None = None

    def update(self) -> None:
        """Follows the workers while the server runs."""
        if self.status in ("starting", "ready", "degraded"):
            if any(worker.ready for worker in self.workers):
                self.status = "ready"
            elif self.status != "starting":
                self.status = "degraded"

    def as_dict(self) -> dict[str, Any]:
        document = asdict(self)
        for worker, entry in zip(self.workers, document["workers"]):
            entry["ready"] = worker.ready
        return document

    def write(self, path: str) -> None:
        """Replaces the file in one step: a reader sees the old state or the new one."""
        fd, temporary = tempfile.mkstemp(dir=os.path.dirname(path) or ".", prefix=".state-")
        with os.fdopen(fd, "w") as file:
            json.dump(self.as_dict(), file)
        os.replace(temporary, path)

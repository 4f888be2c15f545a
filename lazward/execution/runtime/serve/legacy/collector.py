"""A data collector for scripts that use azureml.ai.monitoring where that package is not installed.

Each `collect()` appends one line (a CloudEvent whose `data` holds the rows) to <folder>/<name>.jsonl; the folder is the
environment variable LAZWARD_SERVE_COLLECT_DIR, without which nothing is kept.
"""

from __future__ import annotations

import json
import os
import uuid
from datetime import datetime, timezone
from typing import Any, Callable

COLLECT_DIR = "LAZWARD_SERVE_COLLECT_DIR"


class CorrelationContext:
    """Joins what was collected for one request: pass what collect() returned on to the next collect()."""

    def __init__(self, id: str | None = None) -> None:
        self._id = id or str(uuid.uuid4())

    @property
    def id(self) -> str:
        return self._id

    def get_id(self) -> str:
        return self._id


BasicCorrelationContext = CorrelationContext


class Collector:
    """`name` is the kind of data (model_inputs, model_outputs, ...). `on_error` gets what goes wrong; it is never raised by collect()."""

    def __init__(self, *, name: str, on_error: Callable[[Exception], Any] | None = None) -> None:
        if not name or not all(c.isalnum() or c in "_-" for c in name):
            raise ValueError(f"the name of a collector holds letters, digits, _ and - only, not {name!r}")
        self.name = name
        self._on_error = on_error

    def collect(self, data: Any, correlation_context: Any | None = None) -> Any:
        """Keeps a DataFrame; returns the context to hand to the collector of the outputs."""
        context = correlation_context or CorrelationContext()
        try:
            folder = os.environ.get(COLLECT_DIR)
            if folder:
                self._append(folder, data, context)
        except Exception as error:
            if self._on_error is not None:
                self._on_error(error)
        return context

    def _append(self, folder: str, data: Any, context: Any) -> None:
        if not hasattr(data, "to_json"):
            raise TypeError(f"collect() takes a pandas DataFrame, not {type(data).__name__}")
        event = {
            "specversion": "1.0",
            "id": str(uuid.uuid4()),
            "type": f"azureml.inference.{self.name}",
            "datacontenttype": "application/json",
            "time": datetime.now(timezone.utc).isoformat(),
            "data": json.loads(data.to_json(orient="records", date_format="iso")),
            "correlationid": context.id,
        }
        os.makedirs(folder, mode=0o700, exist_ok=True)
        # One write to a file opened for appending: lines of several workers do not mix.
        fd = os.open(os.path.join(folder, f"{self.name}.jsonl"), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(fd, json.dumps(event).encode() + b"\n")
        finally:
            os.close(fd)

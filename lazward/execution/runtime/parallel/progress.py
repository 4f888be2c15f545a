"""How far the job is: counts, their wording, the files under logs/ that tell it, and when too much has failed."""

from __future__ import annotations

import os
import sys
import time
from datetime import datetime, timezone
from typing import Any

from .plan import Plan

LOGS = "logs"
LINE_EVERY_S = 5.0
LINE_AT_LEAST_S = 60.0  # a line although nothing has changed
MAX_ERRORS = 1000  # described in logs/user/error.txt
MAX_SHOWN = 20  # described in the main log


class Progress:
    """total, done, failed: mini-batches. items, failed_items: files or rows, of the mini-batches that are over."""

    def __init__(self, total: int):
        self.total = total
        self.done = self.failed = self.retried = 0
        self.items = self.failed_items = 0
        self.changed = time.monotonic()

    @property
    def left(self) -> int:
        return self.total - self.done - self.failed

    def end_batch(self, items: int, succeeded: int, failed: bool) -> None:
        self.done += not failed
        self.failed += failed
        self.items += items
        self.failed_items += items - succeeded
        self.changed = time.monotonic()

    def __str__(self) -> str:
        retried = f", {self.retried} tried again" if self.retried else ""
        return f"mini-batches: {self.done} done, {self.failed} failed, {self.left} left of {self.total}{retried}; items: {self.items} processed, {self.failed_items} failed"

    def metrics(self) -> dict[str, int]:
        return {
            "Total MiniBatches": self.total, "Processed MiniBatches": self.done + self.failed, "Failed MiniBatches": self.failed,
            "Remaining MiniBatches": self.left, "Processed Items": self.items, "Failed Items": self.failed_items,
        }

    def too_many(self, plan: Plan) -> str | None:
        """Which threshold is passed, as a sentence; None while none is."""
        if 0 <= plan.mini_batch_error_threshold < self.failed:
            return f"{self.failed} mini-batches have failed; mini_batch_error_threshold allows {plan.mini_batch_error_threshold}."
        if 0 <= plan.error_threshold < self.failed_items:
            return f"{self.failed_items} items have failed; error_threshold allows {plan.error_threshold}."
        percent = 100.0 * self.failed / self.total  # of all: it cannot fall any more
        if percent > plan.allowed_failed_percent:
            return f"{percent:.3g} % of the mini-batches have failed; allowed_failed_percent allows {plan.allowed_failed_percent:g} %."
        return None


class Journal:
    """Lines for people: in the main log (our stdout), in logs/sys/master_role.txt and, of progress, in logs/job_progress_overview.*.txt."""

    def __init__(self) -> None:
        self._master = self._open("sys", "master_role.txt")
        self._overview = self._open(f"job_progress_overview.{datetime.now(timezone.utc).strftime('%Y%m%d')}.txt")
        self._errors: Any = None
        self._described = 0
        self._said_at = 0.0
        self._said = ""

    def say(self, text: str, shown: bool = True) -> None:
        line = f"[{_stamp()}] {text}\n"
        self._master.write(line)
        self._master.flush()
        if shown:
            sys.stdout.write(line)
            sys.stdout.flush()

    def progress(self, progress: Progress, workers: int, now: bool = False) -> None:
        """At most every LINE_EVERY_S, unless it must be now."""
        at, text = time.monotonic(), f"{progress}; {workers} workers"
        wait = LINE_EVERY_S if text != self._said else LINE_AT_LEAST_S
        if not now and at - self._said_at < wait:
            return
        self._said_at, self._said = at, text
        self.say(text)
        self._overview.write(f"[{_stamp()}] {text}\n")
        self._overview.flush()

    def error(self, text: str) -> None:
        """A try of a mini-batch, or a worker, that failed."""
        self._described += 1
        if self._described <= MAX_ERRORS:
            if self._errors is None:
                self._errors = self._open("user", "error.txt")
            self._errors.write(f"[{_stamp()}] {text}\n")
            self._errors.flush()
        self.say(text, shown=self._described <= MAX_SHOWN)
        if self._described == MAX_SHOWN:
            self.say("further errors are in logs/user/error.txt only")

    def result(self, text: str) -> None:
        self.say(text)
        self._overview.write(f"[{_stamp()}] {text}\n")
        with self._open("job_result.txt") as out:
            out.write(f"{text}\n")

    def close(self) -> None:
        for out in (self._master, self._overview, self._errors):
            if out is not None:
                out.close()

    @staticmethod
    def _open(*names: str) -> Any:
        path = os.path.join(LOGS, *names)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return open(path, "a", encoding="utf-8", errors="replace")


def _stamp() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

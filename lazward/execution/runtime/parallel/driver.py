"""The driver: splits the input, keeps the workers busy with one mini-batch each, counts what became of them, and ends the job.

A mini-batch is done when its worker's whole answer is here, and only then: one whose worker dies, hangs or raises before that is handed
out again, as often as the job allows, and its rows are written once.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import sys
import time
from collections import deque
from typing import Any

from . import slots as places
from .batches import Batch, split
from .plan import Plan, read_plan
from .progress import Journal, Progress
from .refused import Refused
from .rows import RowFile
from .slots import GONE, IDLE, LOADING, RUNNING, STARTING, STOPPING, Slot

START_TRIES = 3  # of a worker in a row
STOP_GRACE_S = 60.0  # for shutdown() and what the script has registered with atexit
STACK_GRACE_S = 0.5  # for a worker that hangs to write its stack
EOF_GRACE_S = 10.0  # between the end of what a worker says and the end of its process
TICK_S = 1.0


def main(arguments: list[str]) -> int:
    """Exit code 0: all is done, or what failed is within the thresholds. 1: it is not."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    journal = Journal()
    slots: list[Slot] = []
    try:
        plan = read_plan(os.environ["LAZWARD_PARALLEL_PLAN"], arguments)
        cores = os.cpu_count() or 1
        slots = places.slots(plan.instances, plan.workers_per_instance, dict(os.environ), cores)
        for serial, slot in enumerate(slots[:cores]):  # they load themselves while the input is split
            slot.spawn(serial, arguments)
        batches: list[Batch] = []
        try:
            batches = split(plan)
        finally:
            for slot in slots[len(batches) :]:  # no more workers than there is work for
                if slot.state != GONE:
                    slot.dismiss()
        driver = Driver(plan, batches, slots[: len(batches)], arguments, journal)
        error = driver.run()
        journal.progress(driver.progress, 0, now=True)
        if error is None and driver.progress.failed:
            journal.say(f"{driver.progress.failed} mini-batches have failed, which the thresholds allow; see logs/user/error.txt")
        journal.result(f"The parallel job has failed: {error}" if error else "The parallel job is done.")
        return 1 if error else 0
    except Refused as refusal:
        journal.result(f"The parallel job cannot be done: {refusal}")
        return 1
    finally:
        places.end(slots)
        journal.close()


class Driver:
    """slots: a place for each worker. The first of them may have processes already, numbered from 0, which have not begun."""

    def __init__(self, plan: Plan, batches: list[Batch], slots: list[Slot], arguments: list[str], journal: Journal):
        self.plan = plan
        self.batches = batches
        self.arguments = arguments
        self.journal = journal
        self.progress = Progress(len(batches))
        self.waiting: deque[int] = deque(range(len(batches)))
        self.tried: dict[int, int] = {}
        self.slots = slots
        self.rows = RowFile(plan.append_row_to) if plan.append_row_to else None
        self.error: str | None = None
        self._serial = 0
        self._start = {"plan": vars(plan), "append": self.rows is not None}
        self._selector = selectors.DefaultSelector()
        self._last_broken = ""

    def run(self) -> str | None:
        """Why the job has failed; None when it has not."""
        plan = self.plan
        self.journal.say(f"{len(self.batches)} mini-batches, {len(self.slots)} workers ({plan.instances} instances x {plan.workers_per_instance} processes), "
                         f"{plan.timeout_s:g} s and {plan.tries} tries for each mini-batch")
        wake = self._wake_on_children()
        metrics: Any = None
        try:
            for slot in self.slots:
                self._start_worker(slot)
            from .metrics import Metrics  # while the workers start

            metrics = Metrics(plan.metrics_prefix)
            while self.error is None and self.progress.left:
                self._turn()
                metrics.tell(self.progress.metrics())
            if self.error is None:
                self._stop_workers()
            return self.error
        finally:
            places.end(self.slots)
            signal.set_wakeup_fd(-1)
            for end in wake:
                end.close()
            if self.rows is not None:
                self.rows.close()
            if metrics is not None:
                metrics.tell(self.progress.metrics())
                metrics.close()

    # ---- one turn -------------------------------------------------------------------------------------------------------------

    def _turn(self) -> None:
        self._listen()
        self._check_times()
        self._hand_out()
        self.journal.progress(self.progress, sum(slot.state not in (GONE, STARTING) for slot in self.slots))

    def _listen(self) -> None:
        """Waits until something happens, and deals with it."""
        for key, _ in self._selector.select(self._patience()):
            if isinstance(key.data, Slot):
                self._hear(key.data)
            else:
                self._drain(key.fileobj)
                self._reap()

    def _hand_out(self) -> None:
        if self.error is not None:
            return
        for slot in self.slots:
            if not self.waiting:
                return
            if slot.state != IDLE:
                continue
            index = self.waiting.popleft()
            batch = self.batches[index]
            self.tried[index] = self.tried.get(index, 0) + 1
            plain = "files" in batch
            slot.batch, slot.state = index, RUNNING if plain else LOADING
            slot.deadline = time.monotonic() + (self.plan.timeout_s if plain else self.plan.overhead_timeout_s)
            slot.send({"batch": {**batch, "index": index, "try": self.tried[index]}})

    def _hear(self, slot: Slot) -> None:
        said, over = slot.hear()
        for header, body in said:
            self._heed(slot, header, body)
        if over and slot.state != GONE:
            self._selector.unregister(slot.link)
            slot.deadline = min(slot.deadline or float("inf"), time.monotonic() + EOF_GRACE_S)
            self._reap()

    def _heed(self, slot: Slot, header: dict[str, Any], body: bytes) -> None:
        what = header["is"]
        if slot.killed:
            return  # too late: its mini-batch is counted as timed out
        if what == "ready":
            slot.state, slot.deadline, slot.failures = IDLE, None, 0
        elif what == "running":
            slot.state, slot.deadline = RUNNING, time.monotonic() + self.plan.timeout_s
        elif what == "broken":
            self._last_broken = header["error"]
            self.journal.error(f"{slot.name} could not start: {header['error']}; see logs/user/error/{slot.node}/{slot.name}.txt")
            if header.get("fatal"):
                self.error = f"{self._last_broken}."
        elif slot.state == STOPPING:
            self.journal.error(f"{slot.name}: {header['error']}")
        elif slot.batch is not None:
            index, slot.batch, slot.state, slot.deadline = slot.batch, None, IDLE, None
            if what == "done":
                self._succeeded(index, header, body)
            else:
                self._failed(slot, index, header["error"], header["items"])
                if header.get("refused"):
                    self.error = header["error"]

    # ---- what became of a mini-batch ------------------------------------------------------------------------------------------

    def _succeeded(self, index: int, header: dict[str, Any], body: bytes) -> None:
        names = header["header"]
        if self.rows is not None:
            self.rows.put(index, body[names:], body[:names])
        self.progress.end_batch(header["items"], header["succeeded"], failed=False)
        self.error = self.error or self.progress.too_many(self.plan)

    def _failed(self, slot: Slot, index: int, why: str, items: int) -> None:
        tried, tries = self.tried[index], self.plan.tries
        again = tried < tries
        where = f"; see logs/user/error/{slot.node}/{slot.name}.txt" if slot.state != GONE else f"; see logs/user/stderr/{slot.node}/{slot.name}.stderr.txt"
        self.journal.error(f"mini-batch {index} failed in {slot.name} (try {tried} of {tries}): {why}{where}")
        if again:
            self.progress.retried += 1
            self.waiting.appendleft(index)  # soon: a job whose mini-batches all fail ends early, not after it has tried everything thrice
            return
        if self.rows is not None:
            self.rows.put(index, b"")
        self.progress.end_batch(items or len(self.batches[index].get("files", ())) or 1, 0, failed=True)
        passed = self.progress.too_many(self.plan)
        if passed and self.error is None:
            self.error = f"{passed} The last error: mini-batch {index}: {why}"

    # ---- workers --------------------------------------------------------------------------------------------------------------

    def _start_worker(self, slot: Slot) -> None:
        if slot.state == GONE:
            slot.spawn(self._serial, self.arguments)
        self._serial += 1
        slot.begin(self._start, self.plan.first_task_timeout_s)
        self._selector.register(slot.link, selectors.EVENT_READ, slot)

    def _reap(self) -> None:
        for slot in self.slots:
            if slot.state != GONE and slot.process.poll() is not None:
                self._ended(slot)

    def _ended(self, slot: Slot) -> None:
        """A worker is gone: what it has said is heard first, then its mini-batch goes back, and another worker takes its place."""
        for header, body in slot.hear()[0]:
            self._heed(slot, header, body)
        before, index = slot.state, slot.batch
        try:
            self._selector.unregister(slot.link)
        except (KeyError, ValueError):
            pass  # it was, at the end of what it says
        why = slot.bury()
        slot.batch = None
        if index is not None:
            self._failed(slot, index, why, 0)
        if before == STOPPING:
            if slot.killed or slot.process.returncode:
                self.journal.error(f"{slot.name} did not end well after shutdown(): {why}")
            return
        if before == STARTING and self.progress.left:
            slot.failures += 1
            self.journal.say(f"{slot.name} never became ready: {self._last_broken or why}")
        if self.error is not None or not self.progress.left:
            return
        if slot.failures < START_TRIES:
            self._start_worker(slot)
        elif all(other.state == GONE for other in self.slots):
            self.error = f"no worker can be started; the last error: {self._last_broken or why}."

    def _stop_workers(self) -> None:
        """All is done: shutdown() of the script, everywhere at once."""
        grace = max(STOP_GRACE_S, self.plan.timeout_s)
        for slot in self.slots:
            if slot.state == IDLE:
                slot.state, slot.deadline = STOPPING, time.monotonic() + grace
                slot.send({"stop": True})
            else:  # it is still starting, for nothing
                slot.kill("there was nothing left to do")
        while any(slot.state == STOPPING for slot in self.slots):
            self._listen()
            self._check_times()

    def _check_times(self) -> None:
        now = time.monotonic()
        for slot in self.slots:
            if slot.deadline is None or slot.deadline > now or slot.state == GONE:
                continue
            if slot.killed:  # it has had the time to say where it hangs
                slot.deadline = None
                slot.kill()
                continue
            slot.deadline = now + STACK_GRACE_S
            slot.give_up({
                STARTING: f"init() took longer than {self.plan.first_task_timeout_s:g} s",
                LOADING: f"reading the mini-batch took longer than {self.plan.overhead_timeout_s:g} s (task_overhead_timeout)",
                RUNNING: f"run() took longer than {self.plan.timeout_s:g} s (retry_settings.timeout)",
                STOPPING: "shutdown() took too long",
            }.get(slot.state, "it said nothing any more"))
        limit = self.plan.progress_timeout_s
        if limit and self.error is None and self.progress.left and now - self.progress.changed > limit:
            self.error = f"no mini-batch has ended for {limit:g} s (progress_update_timeout)."

    def _patience(self) -> float:
        deadlines = [slot.deadline for slot in self.slots if slot.deadline is not None]
        return max(0.0, min([TICK_S, *(at - time.monotonic() for at in deadlines)]))

    def _wake_on_children(self) -> list[socket.socket]:
        """The end of a child wakes select(): the end of its socket alone would not tell, as its own children may hold it open."""
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            end.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        self._selector.register(ours, selectors.EVENT_READ, None)
        return [ours, theirs]

    @staticmethod
    def _drain(source: Any) -> None:
        try:
            while source.recv(4096):
                pass
        except BlockingIOError:
            pass

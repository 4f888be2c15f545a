"""The state of a running pipeline: events in (a node began, ended, a condition was read), what to do next out. Pure; each event costs
as much as the node has neighbours, so ten thousand nodes are no burden.

    waiting -> ready -> running -> completed | failed | canceled
    waiting -> skipped: something it needs did not end well, its branch was not taken, or the pipeline stops
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Literal

from lazward.domain.pipelines.graph import Graph

State = Literal["waiting", "ready", "running", "completed", "failed", "canceled", "skipped"]
OVER: frozenset[str] = frozenset({"completed", "failed", "canceled", "skipped"})
End = Literal["completed", "failed", "canceled"]


class Progress:
    """One pass over a graph. keep_going: steps that do not depend on a failed one still run (settings.continue_on_step_failure)."""

    def __init__(self, graph: Graph, *, keep_going: bool = False):
        self.graph = graph
        self.keep_going = keep_going
        self.stopping: Literal["", "failed", "canceled"] = ""
        runnable = graph.runnable()
        self.state: dict[str, State] = {node.name: "waiting" for node in runnable}
        self.reasons: dict[str, str] = {}
        self._open: dict[str, set[str]] = {node.name: {n for n in node.needs if n in self.state} for node in runnable}
        self._dependents: dict[str, list[str]] = {name: [] for name in self.state}
        for name, needs in self._open.items():
            for need in needs:
                self._dependents[need].append(name)
        self._ready: deque[str] = deque()
        self._running: set[str] = set()
        self._left = len(self.state)
        self._counts = dict.fromkeys(OVER, 0)
        for name, needs in self._open.items():
            if not needs:
                self._make_ready(name)

    # ---- what to do ------------------------------------------------------------------------------------------------------
    def startable(self, room: int) -> list[str]:
        """Up to `room` nodes that can begin now, in the order in which they became ready. Call began() for each that does."""
        out: list[str] = []
        while self._ready and len(out) < room and not self.stopping:
            name = self._ready.popleft()
            if self.state[name] == "ready":
                out.append(name)
        return out

    def running(self) -> frozenset[str]:
        return frozenset(self._running)

    @property
    def over(self) -> bool:
        return self._left == 0

    @property
    def counts(self) -> dict[str, int]:
        """How many nodes there are in each state."""
        out = {state: count for state, count in self._counts.items() if count}
        out |= {"running": len(self._running)} if self._running else {}
        waiting = self._left - len(self._running)
        return out | ({"waiting": waiting} if waiting else {})

    def result(self) -> End:
        """How the pipeline ends, once it is over."""
        if self.stopping == "canceled":
            return "canceled"
        return "failed" if self._counts["failed"] or self._counts["canceled"] else "completed"

    def failed(self) -> Iterator[str]:
        return (name for name, state in self.state.items() if state in ("failed", "canceled"))

    # ---- what happened ---------------------------------------------------------------------------------------------------
    def began(self, name: str) -> None:
        if self.state[name] in ("waiting", "ready"):
            self.state[name] = "running"
            self._running.add(name)

    def ended(self, name: str, end: End) -> None:
        """A step came to its end. What it held back becomes ready, or is skipped."""
        if self.state[name] in OVER:
            return
        self._running.discard(name)
        self._close(name, end)
        if end == "completed":
            self._release(name)
            return
        self._skip_after(name, f"'{name}' has {'failed' if end == 'failed' else 'been canceled'}")
        if not self.keep_going:
            self.stop("failed")

    def chose(self, name: str, value: bool) -> None:
        """An if_else has its condition: the blocks of the other side are not run."""
        if self.state[name] in OVER:
            return
        self._running.discard(name)
        self._close(name, "completed")
        for block in list(self._dependents[name]):
            node = self.graph.nodes[block]
            if node.gate == name and node.when != value:
                self._skip(block, f"the condition of '{name}' is {str(value).lower()}")
        self._release(name)

    def stop(self, why: Literal["failed", "canceled"]) -> None:
        """Nothing more begins; what runs is for the caller to cancel."""
        if self.stopping == "canceled":
            return
        self.stopping = why
        reason = "the pipeline was canceled" if why == "canceled" else "the pipeline ended with the first step that failed"
        for name, state in self.state.items():
            if state in ("waiting", "ready"):
                self._close(name, "skipped", reason)

    # ---- bookkeeping -----------------------------------------------------------------------------------------------------
    def _make_ready(self, name: str) -> None:
        self.state[name] = "ready"
        self._ready.append(name)

    def _close(self, name: str, state: State, reason: str = "") -> None:
        self.state[name] = state
        self._left -= 1
        self._counts[state] += 1
        if reason:
            self.reasons[name] = reason

    def _release(self, name: str) -> None:
        for after in self._dependents[name]:
            self._open[after].discard(name)
            if not self._open[after] and self.state[after] == "waiting" and not self.stopping:
                self._make_ready(after)

    def _skip_after(self, name: str, reason: str) -> None:
        for after in self._dependents[name]:
            self._skip(after, reason)

    def _skip(self, name: str, reason: str) -> None:
        """Skips a node and, one after another, what needs it; what can do without it goes on."""
        queue: deque[tuple[str, str]] = deque([(name, reason)])
        while queue:
            at, why = queue.popleft()
            if self.state[at] not in ("waiting", "ready"):
                continue
            self._close(at, "skipped", why)
            for after in self._dependents[at]:
                if at in self.graph.nodes[after].optional_needs:
                    self._open[after].discard(at)
                    if not self._open[after] and self.state[after] == "waiting" and not self.stopping:
                        self._make_ready(after)
                else:
                    queue.append((after, f"'{at}' was not run"))


def restore(progress: Progress, ends: Iterable[tuple[str, str]]) -> None:
    """Replays what is known of nodes: (name, "running" or an end). Any order gives the same state."""
    known = list(ends)
    for name, _ in known:
        if name in progress.state:
            progress.began(name)
    for name, end in known:
        if name in progress.state and end in ("completed", "failed", "canceled"):
            progress.ended(name, end)  # type: ignore[arg-type]

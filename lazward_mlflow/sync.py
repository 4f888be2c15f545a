"""Sends what processes have left behind that ended, or were killed, while their server was away. Can be stopped at any moment and run again."""

from __future__ import annotations

import collections
import os
import time

from lazward_mlflow import calls, places
from lazward_mlflow.drain import Drain
from lazward_mlflow.journal import Journal, read
from lazward_mlflow.senders import Away, Forbidden

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from lazward_mlflow.places import Place

SENT, LIVE, LEFT, SEEN = "sent", "live", "left", "seen"


class Result:
    """What became of one place. how: sent | live (its process runs, or another sync is at it) | left (the server is away, or lets us not) |
    seen (a dry run). calls: that are not sent yet, by name. reason: of what is left."""

    def __init__(self, place: Place, how: str):
        self.place = place
        self.how = how
        self.sent, self.refused, self.bytes = 0, 0, 0
        self.calls: collections.Counter[str] = collections.Counter()
        self.reason = ""


def sync(
    root: str, sender: Callable[[str], Callable[..., tuple[int, bytes]]], to: str = "", dry_run: bool = False, again: bool = False,
    told: Callable[[Place, int, int], None] = lambda place, done, all_: None,
) -> Iterator[Result]:
    """One result for every place at or below `root`. sender: makes one (senders.py) for the address of a server. to: another server than
    the one that was logged to. again: what was refused is tried once more. told: after each answer, with the calls done and in all."""
    for place in places.find(root):
        if not place.claim():
            if os.path.exists(place.journal) and os.path.getsize(place.journal):
                yield Result(place, LIVE)
            continue
        try:
            if again:
                _take_back(place)
            if dry_run:
                yield _look(place)
            else:
                yield _send(place, sender(calls.address(to) if to else place.base), to, told)
        finally:
            place.release()


def _look(place: Place) -> Result:
    result = Result(place, SEEN)
    for _, record in read(place.journal, place.state()["at"]):
        result.calls[calls.word_of(calls.name_of(record["p"])) if record else "damaged"] += 1
        result.bytes += (record or {}).get("z", 0)
    result.refused = len(place.refused())
    return result


def _send(place: Place, send: Callable[..., tuple[int, bytes]], to: str, told: Callable[[Place, int, int], None]) -> Result:
    state = place.state()
    if state.get("to", "") != to:  # ids are of the server that gave them, and what that one has the other has not
        state = {"at": 0, "sent": 0, "ids": {}, "to": to}
        place.save(state)
    waiting = sum(1 for _ in read(place.journal, state["at"]))
    done = 0

    def count(calls_: int) -> None:
        nonlocal done
        done += calls_
        told(place, done, waiting)

    drain = Drain(place, send, count)
    result = Result(place, SENT)
    try:
        drain.run()
    except (Away, Forbidden) as error:
        hint = " (sign in with MLFLOW_TRACKING_TOKEN, and MLFLOW_TRACKING_URI where there are several servers)" if "answers 401" in str(error) else ""
        result.how, result.reason = LEFT, f"{error}{hint}"
        result.calls = _look(place).calls
    result.sent, result.bytes = drain.sent, drain.bytes
    result.refused = len(place.refused())
    if result.how == SENT:
        place.remove()
    return result


def _take_back(place: Place) -> None:
    """What was refused goes to the end of the journal."""
    refused = place.refused()
    if not refused:
        return
    journal = Journal(place.journal)
    try:
        for one in refused:
            if one["call"]:
                journal.append(one["call"])
        journal.flush()
    finally:
        journal.close()
    os.unlink(place.rejected)


class Progress:
    """A line a second at most. say: takes it."""

    def __init__(self, say: Callable[[str], None]):
        self._say = say
        self._at = time.monotonic()

    def __call__(self, place: Place, done: int, all_: int) -> None:
        if time.monotonic() - self._at >= 1.0:
            self._at = time.monotonic()
            self._say(f"{place.folder}: {done} of {all_} calls")


def words(result: Result) -> list[str]:
    """For people."""
    folder, refused = result.place.folder, result.refused
    counted = ", ".join(f"{count} {name}" for name, count in result.calls.most_common())
    if result.how == LIVE:
        return [f"{folder}: its process is running and sends it itself"]
    if result.how == SEEN:
        lines = [f"{folder}: for {result.place.base}: {counted or 'nothing'}{f'; {result.bytes} bytes of files' if result.bytes else ''}"]
    elif result.how == LEFT:
        lines = [f"{folder}: {result.sent} calls sent, then: {result.reason}", f"  left: {counted}"]
    else:
        lines = [f"{folder}: {result.sent} calls sent{f', {result.bytes} bytes of files' if result.bytes else ''}"]
    if refused:
        lines.append(f"  refused: {refused}; they and the reasons are in {result.place.rejected}")
        lines += [f"    {_shown(one)}" for one in result.place.refused()[:5]]
    return lines


def _shown(one: dict[str, Any]) -> str:
    call = one["call"]
    body = call.get("b") or {}
    what = " ".join(str(body[key])[:80] for key in ("run_id", "key", "name") if key in body)
    return f"{call.get('m', '')} {calls.name_of(call['p']) if call else 'a damaged line'} {what}: {one['status']} {one['reason'][:300]}"

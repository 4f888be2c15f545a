"""The attempts of a job: a list in its document, and a log for each.

user_logs/std_log.txt is one log of all attempts, each after a heading: clients that stream it remember how many lines they have shown, and
would miss the beginning of an attempt that began the file anew. Once there is a second attempt, each has its part in a file of its own
besides, user_logs/attempt_N/std_log.txt, which the SDK downloads and does not stream.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from lazward.contract.envelope import timestamp
from lazward.contract.errors import ArmError
from lazward.domain.ports import LaunchStatus
from lazward.orchestration.data import ARTIFACTS
from lazward.orchestration.logs import Log, Source

SHOWN = 500  # characters of an error in the list


def exit_of(status: LaunchStatus) -> dict[str, Any]:
    return {"reason": status.reason, "code": status.code, "signal": status.signal, "peakMemoryBytes": status.peak_memory_bytes}


def begin(facts: dict[str, Any], number: int, now: float) -> None:
    """Notes in a job's properties that an attempt runs."""
    _entry(facts, number).update(status="Running", startTimeUtc=timestamp(now), logs=_folder(number) if number > 1 else "user_logs")


def end(facts: dict[str, Any], number: int, status: str, now: float, exit_: dict[str, Any], error: ArmError | None, *, last: bool = True) -> None:
    """And how it ended. One that never ran is noted, too. last: no other follows."""
    entry = _entry(facts, number)
    entry.update(status=status, endTimeUtc=timestamp(now), exit=exit_)
    if error is not None:
        entry["error"] = {"code": error.code, "message": error.message[:SHOWN]}
    if not last and "logs" in entry:
        entry["logs"] = _folder(number)


def _entry(facts: dict[str, Any], number: int) -> dict[str, Any]:
    found = facts.setdefault("attempts", [])
    for entry in found:
        if entry["attempt"] == number:
            return entry
    found.append({"attempt": number})
    return found[-1]


def _folder(number: int) -> str:
    return f"user_logs/attempt_{number}"


def logs_of(prefix: str, sources: Mapping[str, Source], number: int, bases: dict[str, int]) -> dict[str, Log]:
    """Where the logs of an attempt go. prefix: of the run's artifacts; sources: by name of the log; bases: of keep_logs."""
    logs: dict[str, Log] = {}
    for name, read in sources.items():
        base = bases.get(name, 0)
        heading = f"\n----- attempt {number} -----\n" if base else ""
        logs[f"{prefix}/user_logs/{name}"] = Log(read, base, heading.encode())
        if number > 1:
            logs[f"{prefix}/{_folder(number)}/{name}"] = Log(read)
    return logs


async def keep_logs(blobs: Any, account: str, prefix: str, names: Iterable[str], number: int) -> dict[str, int]:
    """Before the attempt after `number`: where in each log that one begins. The first attempt's logs get their copies. Can be repeated,
    as long as nothing is added to the logs."""
    bases: dict[str, int] = {}
    for name in names:
        whole = f"{prefix}/user_logs/{name}"
        info = await blobs.info(account, ARTIFACTS, whole)
        bases[name] = info.size if info else 0
        if info and number == 1:
            await blobs.put(account, ARTIFACTS, f"{prefix}/{_folder(1)}/{name}", blobs.read(account, ARTIFACTS, whole), headers={"contentType": "text/plain"})
    return bases

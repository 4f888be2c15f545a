"""The machines that run jobs, as their workers told when they began. A job that asks for more than any of them has is refused at submit;
where none has told yet, that is found out when the job is to run (job_queue.py)."""

from __future__ import annotations

from lazward.contract.errors import ArmError
from lazward.contract.ids import ResourceId
from lazward.domain.ports import Capacity
from lazward.domain.queue.order import Ask
from lazward.storage import resources
from lazward.storage.db import Tx

PROVIDER, KIND = "Lazward", "machines"


def announce(tx: Tx, name: str, have: Capacity, now: float) -> None:
    """What jobs may take of this machine."""
    rid = ResourceId(provider=PROVIDER, segments=((KIND, name),))
    facts = {"cores": have.cores, "memoryBytes": have.memory_bytes, "gpus": have.gpus}
    row = resources.get(tx, rid.key)
    if row is None:
        resources.insert(tx, rid, {"properties": facts}, now)
    elif row.properties != facts:
        row.doc["properties"] = facts
        resources.update(tx, row, now)


def check_possible(tx: Tx, ask: Ask, target: str) -> None:
    """ArmError 400 naming `target` when no machine has what is asked for. More cores than there are is no fault: such a job runs alone."""
    machines = [Capacity(m["cores"], m["memoryBytes"], m["gpus"]) for m in (row.properties for row in resources.every(tx, f"{PROVIDER}/{KIND}"))]
    if machines and not any(fits(ask, have) for have in machines):
        raise impossible(ask, max(machines, key=lambda have: (have.gpus, have.memory_bytes)), target)


def fits(ask: Ask, have: Capacity) -> bool:
    return ask.memory_bytes <= have.memory_bytes and ask.gpus <= have.gpus


def impossible(ask: Ask, have: Capacity, target: str) -> ArmError:
    return ArmError(
        400, "ImpossibleResources",
        f"The job asks for {ask.memory_bytes / 2**30:.1f} GiB and {ask.gpus} GPUs; this machine has {have.memory_bytes / 2**30:.1f} GiB and {have.gpus} for jobs.", target,
    )

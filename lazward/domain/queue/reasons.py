"""Why a job waits, in one sentence for people. The further back, the coarser, so that a long queue is not written anew, job by job, each
time it moves on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lazward.domain.ports import Capacity
from lazward.domain.queue.order import NEAR, Ask, Block, Job, Limits, free, startable, survey

GIB = 2**30


def reasons(queue: Sequence[Job], held: Iterable[Job], capacity: Capacity, limits: Limits) -> dict[str, str]:
    """By the keys of those that do not start."""
    held = list(held)
    left = free([*held, *startable(queue, held, capacity, limits)], capacity)
    return {job.key: reason(job, block, capacity, left, limits) for job, block in survey(queue, held, capacity, limits) if block is not None}


def reason(job: Job, block: Block, capacity: Capacity, left: Ask, limits: Limits) -> str:
    """left: what of the machine is free."""
    near = block.place <= NEAR
    if block.what in ("machine", "turn"):
        kept = "; what is free is kept for those before it" if block.what == "turn" and near else ""
        return f"Waiting for {_asked(job.ask, capacity, left if near else None)}; {_place(block.place, 'in the queue')}{kept}."
    whose, _, kind = block.what.partition(" ")
    setting = f"max_{whose}_{kind}"
    most = getattr(limits, f"{whose}_{kind}")
    share = "this workspace" if whose == "workspace" else "its user in this workspace"
    used = (f": {block.used:g} run" if kind == "jobs" else f": {block.used:g} are taken, it asks for {job.ask.cores:g}") if near else ""
    return f"Waiting for the limit of {share} ({setting} = {most}){used}; {_place(block.place, 'of those that wait for it')}."


def _asked(ask: Ask, capacity: Capacity, left: Ask | None) -> str:
    parts = [f"{ask.cores:g} of {capacity.cores:g} cores" + (f" ({max(left.cores, 0):g} free)" if left else "")]
    if ask.memory_bytes:
        parts.append(f"{ask.memory_bytes / GIB:.1f} GiB of memory" + (f" ({max(left.memory_bytes, 0) / GIB:.1f} free)" if left else ""))
    if ask.gpus:
        parts.append(f"{ask.gpus} GPUs" + (f" ({max(left.gpus, 0)} free)" if left else ""))
    return ", ".join(parts)


def _place(place: int, exact: str) -> str:
    if place <= NEAR:
        return f"place {place} {exact}"
    before = place - 1
    unit = 10 ** (len(str(before)) - 1)
    return f"at least {before // unit * unit} jobs are before it"

"""Takes records and files of any source into a workspace: in small transactions, so that a running server's writers do not wait, in such
a way that the same source can be given again after a kill at any moment.

A record whose id is here is the same or is refused; nothing is overwritten. Experiments are met by name.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from lazward.cli.moving import registry
from lazward.cli.moving.source import File, Left, Points, Source
from lazward.contract.errors import ArmError
from lazward.contract.mlflow import MlflowError
from lazward.domain.settings import Settings
from lazward.domain.tracking.moved import (
    NAMES,
    Experiment,
    Model,
    Parts,
    Record,
    Registered,
    Row,
    Run,
    RunEnd,
    Trace,
    Values,
    Version,
    check,
)
from lazward.domain.tracking.names import DEFAULT_NAME
from lazward.domain.tracking.paths import CONTAINER, below
from lazward.storage import experiments, runs, trash
from lazward.storage.blobs.store import BlobStore
from lazward.storage.db import Database, Tx
from lazward.storage.moving import read, rows, write
from lazward.storage.moving.write import LEFT, MADE, OTHER, SAME

BATCH = 300  # records looked at together, and metric values in them
POINTS = 5000
AHEAD = 50  # runs whose state here is read together
PIECE_S = 0.02  # after which a transaction takes in no further record
REST = 0.5  # of the time of a transaction: what is left to others before the next one
SHOWN = 1000  # refusals kept for the end
_ERRORS = (MlflowError, ArmError, msgspec.ValidationError)


@dataclass
class Done:
    """What became of it all. made and same: by the words of moved.NAMES, and "files"."""

    made: dict[str, int] = field(default_factory=dict)
    same: dict[str, int] = field(default_factory=dict)
    refused: list[tuple[str, str]] = field(default_factory=list)
    refused_count: int = 0
    values: int = 0
    bytes: int = 0
    moved_experiments: dict[str, str] = field(default_factory=dict)  # ids there and here, where they are different

    def count(self, where: dict[str, int], what: str) -> None:
        where[what] = where.get(what, 0) + 1

    def refuse(self, what: str, why: str) -> None:
        self.refused_count += 1
        if len(self.refused) < SHOWN:
            self.refused.append((what, why))


@dataclass
class _Known:
    """What later records need of earlier ones. A transaction works on a copy of what it changes: it may be run twice."""

    experiments: dict[str, tuple[str, int]] = field(default_factory=dict)  # id there: (id here, number)
    open: dict[str, tuple[int, str]] = field(default_factory=dict)  # runs being filled: (number, stage they will have)
    rows: dict[tuple[str, str], int] = field(default_factory=dict)


@dataclass
class _Outcome:
    record: Record
    what: str
    why: str = ""
    count: int = 0


class _There:
    """What is here of the runs in a batch, read some at a time."""

    def __init__(self, tx: Tx, workspace: str, records: list[Record]):
        self._tx, self._workspace = tx, workspace
        self._ids = [record.id for record in records if isinstance(record, Run)]
        self._found: dict[str, Any] = {}

    def of(self, id_: str) -> Any:
        """As read.run(); each answer is given once, for what is done with it may change it."""
        if id_ not in self._found:
            at = self._ids.index(id_)
            ahead = self._ids[at : at + AHEAD]
            self._found = dict.fromkeys(ahead) | read.some_runs(self._tx, self._workspace, ahead)
        return self._found.pop(id_)


class Intake:
    """One import. prefix: of the names of experiments and registered models. rest: of the time of each transaction, what is left to
    others. told: called now and then with what is done so far."""

    def __init__(self, db: Database, blobs: BlobStore, settings: Settings, workspace: str, *, prefix: str = "", rest: float = REST, told: Any = None):
        self.db, self.blobs, self.settings, self.workspace, self.prefix = db, blobs, settings, workspace, prefix
        self.rest = rest
        self.told = told or (lambda done: None)
        self.done = Done()
        self._known = _Known()
        self._refused: set[tuple[str, str]] = set()  # owners whose files are not taken either
        self._owner = ("", "")  # of the last file
        self._waiting: list[Record] = []
        self._weight = 0  # of those waiting
        _, account = db.read_now(experiments.workspace, workspace)
        if not account:
            raise MlflowError("RESOURCE_DOES_NOT_EXIST", "The workspace has no storage account yet.", "workspace")
        self._account = account

    def take(self, source: Source) -> Done:
        with asyncio.Runner() as runner:
            for item in source.items():
                if isinstance(item, File):
                    self._flush()
                    runner.run(self._file(item))
                elif isinstance(item, Points):
                    self._flush()  # then it is known whether the run is to be filled
                    for values in item.read() if item.run in self._known.open else ():
                        self._add(values)
                elif isinstance(item, Left):
                    self.done.refuse(item.what, item.why)
                else:
                    self._add(item)
            self._flush()
        return self.done

    def _add(self, record: Record) -> None:
        self._waiting.append(record)
        self._weight += len(record.points) if isinstance(record, Values) else 250 if isinstance(record, Trace | Parts) else 1
        if len(self._waiting) >= BATCH or self._weight > POINTS:
            self._flush()

    # ---- records ------------------------------------------------------------------------------------------------------------

    def _flush(self) -> None:
        while self._waiting:
            began = time.monotonic()
            try:
                outcomes, known = self.db.write_now(self._some, list(self._waiting))
            except Exception as error:
                if write.refusal(error) is None:
                    raise
                outcomes, known = self._each()
            self._known = known
            del self._waiting[: len(outcomes)]
            for outcome in outcomes:
                self._note(outcome)
            self._weight = 0
            self.told(self.done)
            time.sleep((time.monotonic() - began) * self.rest)

    def _each(self) -> tuple[list[_Outcome], _Known]:
        """One of them is what the database does not take: alone, each shows."""
        outcomes: list[_Outcome] = []
        for record in list(self._waiting):
            try:
                made, self._known = self.db.write_now(self._some, [record])
                if not made:
                    break  # what another import left goes first
                outcomes += made
            except Exception as error:
                if (why := write.refusal(error)) is None:
                    raise
                begun = self._known.open.pop(record.run if isinstance(record, Values) else "", (0, ""))
                outcomes.append(_Outcome(record, OTHER, why, begun[0]))
        return outcomes, self._known

    def _some(self, tx: Tx, records: list[Record]) -> tuple[list[_Outcome], _Known]:
        """As many of the records, from the first on, as a short transaction takes."""
        known = _Known(dict(self._known.experiments), dict(self._known.open), dict(self._known.rows))
        until = time.monotonic() + PIECE_S
        outcomes: list[_Outcome] = []
        there = _There(tx, self.workspace, records)
        for record in records:
            try:
                check(record)
                tx.raw("SAVEPOINT item")
                try:
                    what, count = self._one(tx, record, known, there)
                except _ERRORS:
                    tx.raw("ROLLBACK TO SAVEPOINT item")
                    raise
                tx.raw("RELEASE SAVEPOINT item")
                if what == LEFT:  # goes in transactions of its own, before this one
                    if not outcomes:
                        self._take_away(tx, count)
                    break
                outcomes.append(_Outcome(record, what, count=count))
            except _ERRORS as error:
                begun = known.open.pop(record.run if isinstance(record, Values) else record.id, (0, "")) if isinstance(record, Values | RunEnd) else (0, "")
                outcomes.append(_Outcome(record, OTHER, error.message if isinstance(error, MlflowError | ArmError) else str(error), begun[0]))
            if time.monotonic() > until:
                break
        return outcomes, known

    def _take_away(self, tx: Tx, seq: int) -> bool:
        """A piece of a run that was begun; False once all of it is gone."""
        if trash.shrink(tx, seq):
            return True
        runs.drop(tx, [seq])
        return False

    def _one(self, tx: Tx, record: Record, known: _Known, there: _There) -> tuple[str, int]:
        """(what became of it, a count)."""
        match record:
            case Experiment():
                default = record.name == DEFAULT_NAME and not self.prefix
                new = record if default else msgspec.structs.replace(record, name=self.prefix + record.name)
                what, seq, id_ = write.experiment(tx, self.workspace, new, time.time())
                known.experiments[record.id] = (id_, seq)
                return what, 0
            case Run():
                id_, seq = self._experiment(record.experiment, known)
                begun = write.begin_run(tx, self.workspace, msgspec.structs.replace(record, experiment=id_), seq, there.of(record.id), time.time())
                if begun.what == MADE:
                    known.open[record.id] = (begun.seq, record.stage)
                return begun.what, begun.seq
            case Values():
                if record.run in known.open:
                    write.values(tx, known.open[record.run][0], record.points)
                    return MADE, len(record.points)
                return SAME, 0
            case RunEnd():
                if record.id not in known.open:
                    return SAME, 0
                write.end_run(tx, *known.open.pop(record.id))
                return MADE, 0
            case Model():
                id_, seq = self._experiment(record.experiment, known)
                return write.model(tx, self.workspace, msgspec.structs.replace(record, experiment=id_), seq, time.time()), 0
            case Trace():
                id_, seq = self._experiment(record.experiment, known)
                return write.trace(tx, self.workspace, msgspec.structs.replace(record, experiment=id_), seq), 0
            case Registered():
                return registry.write_container(tx, self.workspace, msgspec.structs.replace(record, name=self.prefix + record.name), self.settings), 0
            case Version():
                return registry.write_version(tx, self.workspace, msgspec.structs.replace(record, name=self.prefix + record.name), self.settings), 0
            case Row():
                what, seq = rows.write(tx, self.workspace, record, self._experiment(record.experiment, known)[1] if record.experiment else None)
                if what != OTHER:
                    known.rows[record.table, record.id] = seq
                return what, 0
            case Parts():
                if (record.table, record.id) in known.rows:
                    ids = {there: here for there, (here, _) in known.experiments.items()}
                    rows.write_parts(tx, known.rows[record.table, record.id], record, ids)
                return SAME, 0
        raise AssertionError(record)

    def _experiment(self, id_: str, known: _Known) -> tuple[str, int]:
        if id_ not in known.experiments:
            raise MlflowError("RESOURCE_DOES_NOT_EXIST", f"Its experiment {id_[:60]} was not imported.", "experiment")
        return known.experiments[id_]

    def _note(self, outcome: _Outcome) -> None:
        record, done = outcome.record, self.done
        if isinstance(record, Values):
            done.values += outcome.count
        kind = NAMES.get(type(record))
        if isinstance(record, Run) and outcome.what == MADE:
            return  # counted at its end
        if isinstance(record, RunEnd) and outcome.what == MADE:
            done.count(done.made, "runs")
        elif isinstance(record, Experiment) and record.id in self._known.experiments:
            here = self._known.experiments[record.id][0]
            if here != record.id:
                done.moved_experiments[record.id] = here
            if outcome.what == OTHER:
                done.refuse(f"tags of the experiment {record.name!r}", "it is here with other values, which stay")
            done.count(done.made if outcome.what == MADE else done.same, "experiments")
        elif outcome.what == OTHER:
            done.refuse(name_of(record), outcome.why or "it is here with other content, which stays")
            if isinstance(record, Run | Model | Trace):
                self._refused.add(({Run: "run", Model: "model", Trace: "trace"}[type(record)], record.id))
            if isinstance(record, Values | RunEnd):
                self._refused.add(("run", record.run if isinstance(record, Values) else record.id))
                while outcome.count and self.db.write_now(self._take_away, outcome.count):  # a run that cannot be filled is none
                    pass
        elif kind:
            done.count(done.made if outcome.what == MADE else done.same, kind)

    # ---- files --------------------------------------------------------------------------------------------------------------

    async def _file(self, file: File) -> None:
        if (file.owner, file.id) in self._refused:
            return
        try:
            name = below(registry.prefix_of(file.owner, file.id), file.path)
            if not self._has(file):
                raise MlflowError("RESOURCE_DOES_NOT_EXIST", f"The {file.owner} it belongs to was not imported.", "path")
            await self.blobs.ensure_container(self._account, CONTAINER)
            mine = await self.blobs.info(self._account, CONTAINER, name)
            if mine is not None:
                same = mine.size == file.size and (not file.compared or await self._equal(name, file))
                if same:
                    self.done.count(self.done.same, "files")
                else:
                    self.done.refuse(f"file {file.path} of the {file.owner} {file.id}", "it is here with other content, which stays")
                return
            await self.blobs.put(self._account, CONTAINER, name, _pieces(file.read()), if_none_match_any=True)
        except (MlflowError, ArmError) as error:
            self.done.refuse(f"file {file.path[:300]} of the {file.owner} {file.id[:100]}", error.message)
            return
        self.done.count(self.done.made, "files")
        self.done.bytes += file.size
        self.told(self.done)

    def _has(self, file: File) -> bool:
        if self._owner != (file.owner, file.id) and file.owner != "upload":
            if not self.db.read_now(write.has, self.workspace, file.owner, file.id):
                return False
            self._owner = file.owner, file.id
        return True

    async def _equal(self, name: str, file: File) -> bool:
        at = 0
        async for mine in self._slices(name, file.read()):
            at += len(mine[0])
            if mine[0] != mine[1]:
                return False
        return at == file.size

    async def _slices(self, name: str, theirs: Iterator[bytes]) -> AsyncIterator[tuple[bytes, bytes]]:
        """Equal ranges of ours and theirs."""
        at = 0
        for piece in theirs:
            mine = b"".join([part async for part in self.blobs.read(self._account, CONTAINER, name, at, at + len(piece))])
            at += len(piece)
            yield mine, piece


async def _pieces(data: Iterator[bytes]) -> AsyncIterator[bytes]:
    for piece in data:
        yield piece


def name_of(record: Any) -> str:
    match record:
        case Experiment():
            return f"experiment {record.name[:200]!r}"
        case Values():
            return f"values of the run {record.run[:100]}"
        case Registered():
            return f"registered model {record.name[:200]!r}"
        case Version():
            return f"version {record.version[:60]} of the model {record.name[:200]!r}"
        case Row() | Parts():
            return f"{record.table} {record.id[:100]}"
        case Model():
            return f"logged model {record.id[:100]}"
        case Trace():
            return f"trace {record.id[:100]}"
        case _:
            return f"run {record.id[:100]}"

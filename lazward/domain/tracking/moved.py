"""What tracking data is while it moves: the records of an export, which every importer makes as well (docs/guides/moving.md).

They name each other by ids, never by rows of a database, and come in an order in which what is named has come before (but for links of
traces). Times are unix seconds where a float, milliseconds where an int. A metric value is a number, or "NaN", "Infinity", "-Infinity",
which JSON has no number for.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any, Literal

import msgspec
from msgspec import Struct

from lazward.contract.mlflow import invalid
from lazward.domain.tracking import names
from lazward.domain.tracking.names import Metric

Number = float | str
Stage = Literal["active", "deleted"]
Family = Literal["models", "prompts"]
Owner = Literal["run", "model", "trace", "upload"]  # what files hang from; upload: a folder of files beside any run
STATUSES = ("RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED")


class Experiment(Struct, tag_field="kind", tag="experiment"):
    """location: where artifacts are kept outside; None when they lie in the workspace."""

    id: str
    name: str
    stage: Stage
    location: str | None
    tags: dict[str, str]
    created: float
    updated: float


class Input(Struct):
    """A dataset that a run used."""

    name: str
    digest: str
    source_type: str
    source: str
    schema: str | None
    profile: str | None
    tags: dict[str, str]


class Run(Struct, tag_field="kind", tag="run"):
    """Followed by its values, and by its end. latest: (step, milliseconds) of the newest value of each metric. values: how many it has
    in all; None where the source does not tell."""

    id: str
    experiment: str
    name: str
    status: str
    stage: Stage
    user: str
    parent: str | None
    started: float
    ended: float | None
    deleted: float | None
    params: dict[str, str]
    tags: dict[str, str]
    inputs: list[Input]
    latest: dict[str, tuple[int, int]]
    values: int | None = None


class Values(Struct, tag_field="kind", tag="values"):
    """points: (key, milliseconds, step, value)."""

    run: str
    points: list[tuple[str, int, int, Number]]


class RunEnd(Struct, tag_field="kind", tag="run-end"):
    id: str


class Model(Struct, tag_field="kind", tag="model"):
    """A logged model. below: its folder among its run's files; "" when it has one of its own. metrics: (key, milliseconds, step, value,
    run, dataset, digest). links: ("model_in" | "model_out", run, step)."""

    id: str
    experiment: str
    name: str
    type: str
    status: str
    stage: Stage
    run: str
    below: str
    tags: dict[str, str]
    params: dict[str, str]
    created: float
    updated: float
    metrics: list[tuple[str, int, int, Number, str, str, str]]
    links: list[tuple[str, str, int]]


class Registered(Struct, tag_field="kind", tag="registered"):
    """A registered model or prompt. properties: those of its document, without what the server counts."""

    family: Family
    name: str
    properties: dict[str, Any]
    created: float
    updated: float


class Files(Struct):
    """A folder: `path` below the files of its owner."""

    owner: Owner
    id: str
    path: str


class Version(Struct, tag_field="kind", tag="version"):
    """properties: those of its document; modelUri only where the files are on the web. files: None for those, and for prompts."""

    family: Family
    name: str
    version: str
    properties: dict[str, Any]
    files: Files | None
    created: float
    updated: float


class Trace(Struct, tag_field="kind", tag="trace"):
    """facts, spans, assessments: columns of their tables by name, without numbers of rows."""

    id: str
    experiment: str
    facts: dict[str, Any]
    spans: list[dict[str, Any]]
    assessments: list[dict[str, Any]]
    links: list[tuple[str, str]]


class Row(Struct, tag_field="kind", tag="row"):
    """One of the things that MLflow keeps for generative models: `table` with its columns by name. experiment: "" when it is of none."""

    table: str
    id: str
    experiment: str
    facts: dict[str, Any]


class Parts(Struct, tag_field="kind", tag="parts"):
    """Rows of the table `part` that hang from a Row that came before."""

    table: str
    id: str
    part: str
    rows: list[dict[str, Any]]


Record = Experiment | Run | Values | RunEnd | Model | Registered | Version | Trace | Row | Parts
LINE = msgspec.json.Decoder(Record)
NAMES = {
    Experiment: "experiments", Run: "runs", Model: "logged models", Registered: "registered models", Version: "model versions", Trace: "traces",
    Row: "evaluation records",
}


def told(value: float, nan: bool) -> Number:
    """A stored value as a record tells it."""
    if nan or math.isnan(value):
        return "NaN"
    return value if math.isfinite(value) else "Infinity" if value > 0 else "-Infinity"


def stored(value: Number) -> tuple[float, bool]:
    """(value, nan) as it is stored."""
    if isinstance(value, str):
        if value not in ("NaN", "Infinity", "-Infinity"):
            raise invalid(f"'{value[:40]}' is no value of a metric.", "value")
        return (0.0, True) if value == "NaN" else (math.inf if value == "Infinity" else -math.inf, False)
    return (0.0, True) if math.isnan(value) else (float(value), False)


def metrics_of(points: list[tuple[str, int, int, Number]]) -> list[Metric]:
    """Checked. MlflowError naming what is wrong."""
    out = []
    known: set[str] = set()
    for key, at, step, value in points:
        if key not in known:
            known.add(names.check_key(key))
        number, nan = stored(value)
        _in_64_bits(at, "timestamp")
        _in_64_bits(step, "step")
        out.append(Metric(key, at, step, number, nan))
    return out


def check(record: Record) -> None:
    """That ids and names are such as a client may give, and texts such as every database takes. MlflowError naming the member."""
    match record:
        case Experiment():
            names.check_run_id(record.id, "id")
            names.check_experiment_name(record.name)
            names.check_location(record.location or "", "location")
            _check_texts(record.tags, "tags")
        case Run():
            names.check_run_id(record.id, "id")
            if record.status not in STATUSES:
                raise invalid(f"'{record.status[:40]}' is no status of a run: {', '.join(STATUSES)}.", "status")
            for member in ("name", "user"):
                names.check_value(getattr(record, member), member)
            _check_texts(record.params, "params")
            _check_texts(record.tags, "tags")
            for one in record.inputs:
                _check_texts(one.tags, "inputs.tags")
                for member in ("name", "digest", "source_type", "source", "schema", "profile"):
                    _text(getattr(one, member), f"inputs.{member}")
        case Model():
            names.check_run_id(record.id, "id")
            names.check_value(record.name, "name")
            _check_texts(record.tags, "tags")
            _check_texts(record.params, "params")
        case Trace():
            names.check_run_id(record.id, "id")
        case _:
            pass


def digest(record: Record) -> str:
    """The same for equal records only."""
    return hashlib.sha256(msgspec.json.encode(record, order="deterministic")).hexdigest()[:16]


def same(mine: Run, theirs: Run) -> bool:
    """Whether a run that is here is the one that is told of. Where the source does not count values, the newest ones speak for all. When it
    was deleted is a fact of each bin."""
    return mine == msgspec.structs.replace(theirs, values=mine.values if theirs.values is None else theirs.values, deleted=mine.deleted)


def _check_texts(texts: dict[str, str], member: str) -> None:
    for key, value in texts.items():
        names.check_key(key, member)
        _text(value, f"{member}.{key[:100]}")


def _text(value: str | None, member: str) -> None:
    if value is not None and "\0" in value:
        raise invalid(f"'{member}' holds a NUL character.", member)


def _in_64_bits(value: int, member: str) -> None:
    if not -(2**63) <= value < 2**63:
        raise invalid(f"'{member}' is beyond 64 bits.", member)

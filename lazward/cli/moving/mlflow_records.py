"""Records made of what MLflow tells, whichever way it tells it. Times of MLflow are milliseconds."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from lazward.domain.genai.prompts import is_prompt
from lazward.domain.tracking.assessments import Assessment
from lazward.domain.tracking.moved import (
    Experiment,
    Files,
    Input,
    Model,
    Number,
    Registered,
    Run,
    Trace,
    Values,
    Version,
    stored,
)
from lazward.domain.tracking.names import PARENT, RUN_NAME
from lazward.domain.tracking.registered import ALIAS, LOGGED_MODEL, RUN, RUN_LINK, SOURCE, USER
from lazward.domain.tracking.spans import COST, MODEL, PROVIDER, TYPE, USAGE, loaded
from lazward.domain.tracking.trace_summary import (
    ARTIFACTS,
    COSTS,
    COUNTS,
    SOURCE_RUN,
    SPANS_LOCATION,
    TRACKING_STORE,
    numbers,
)
from lazward.storage import assessments
from lazward.storage.trace_rows import Trace as Row
from lazward.storage.trace_rows import fresh

STATUSES = {1: "RUNNING", 2: "SCHEDULED", 3: "FINISHED", 4: "FAILED", 5: "KILLED"}
MODEL_STATUSES = {1: "LOGGED_MODEL_PENDING", 2: "LOGGED_MODEL_READY", 3: "LOGGED_MODEL_UPLOAD_FAILED"}
MODEL_STATUS_NAMES = {"PENDING": 1, "READY": 2, "FAILED": 3}
POINTS = 1000

_MODEL_ID = re.compile(r"(?:^|/)(m-[0-9a-f]{32})(?:/artifacts)?(?:/+(.*))?$")
_RUNS = re.compile(r"runs:/+(?P<id>[^/?#]+)(?:/+(?P<path>.*))?")
_IN_RUN = re.compile(r"(?:^|/)(?P<id>[0-9a-f]{32})/artifacts(?:/+(?P<path>.*))?$")


def seconds(ms: int | float | None) -> float:
    return (ms or 0) / 1000


def experiment(id_: str, name: str, stage: str, tags: dict[str, str], created: int | None, updated: int | None) -> Experiment:
    """Artifacts come into the workspace, wherever they were."""
    return Experiment(str(id_), name, "deleted" if stage == "deleted" else "active", None, tags, seconds(created), seconds(updated or created))


def run(
    id_: str, experiment_id: str, name: str | None, status: Any, stage: str | None, user: str | None, times: tuple[int | None, int | None, int | None],
    params: dict[str, str], tags: dict[str, str], inputs: list[Input], latest: dict[str, tuple[int, int]], values: int | None = None,
) -> Run:
    """times: started, ended, deleted. status: MLflow's word or number."""
    name = name or tags.get(RUN_NAME) or ""
    started, ended, deleted = times
    gone = stage == "deleted"
    return Run(
        id_, str(experiment_id), name, STATUSES.get(status, str(status)), "deleted" if gone else "active", user or "", tags.get(PARENT), seconds(started),
        seconds(ended) if ended else None, seconds(deleted) if gone and deleted else None, params, {**tags, RUN_NAME: name},
        sorted(inputs, key=lambda one: (one.name, one.digest)), latest, values,
    )


def newest(points: Iterable[tuple[str, int, int, Number]]) -> dict[str, tuple[int, int]]:
    """Of each key, by MLflow's rule."""
    best: dict[str, tuple[int, int, float]] = {}
    for key, at, step, value in points:
        rank = (step, at, stored(value)[0])
        if key not in best or rank > best[key]:
            best[key] = rank
    return {key: (step, at) for key, (step, at, _) in best.items()}


def in_pieces(run_id: str, points: Iterable[tuple[str, int, int, Number]]) -> Iterable[Values]:
    piece: list[tuple[str, int, int, Number]] = []
    for point in points:
        piece.append(point)
        if len(piece) == POINTS:
            yield Values(run_id, piece)
            piece = []
    if piece:
        yield Values(run_id, piece)


def model(
    id_: str, experiment_id: str, name: str, type_: str | None, status: str, stage: str | None, run_id: str | None, tags: dict[str, str], params: dict[str, str],
    created: int, updated: int, metrics: list[tuple[str, int, int, Number, str, str, str]], links: list[tuple[str, str, int]],
) -> Model:
    return Model(
        id_, str(experiment_id), name, type_ or "", status, "deleted" if stage == "deleted" else "active", run_id or "", "", tags, params, seconds(created), seconds(updated),
        sorted(metrics, key=str), sorted(links),
    )


def registered(name: str, description: str | None, tags: dict[str, str], aliases: dict[str, str], created: int, updated: int | None) -> Registered:
    member = "labels" if is_prompt(tags) else "tags"
    properties = {"description": description or None, member: tags, "properties": {ALIAS + alias: str(version) for alias, version in aliases.items()}}
    return Registered("prompts" if member == "labels" else "models", name, properties, seconds(created), seconds(updated or created))


def version(of: Registered, number: Any, facts: dict[str, Any], tags: dict[str, str], stored_at: str = "") -> Version | str:
    """facts: description, user_id, current_stage, source, run_id, run_link, model_id, creation and update time (the last two by the names
    created, updated). stored_at: where the files are, if told. Why not, when they are nowhere that comes along."""
    prompt = of.family == "prompts"
    files = None if prompt else files_of(facts.get("source") or "") or files_of(stored_at)
    if not prompt and files is None:
        return f"its files are at {facts.get('source') or 'no place told'}, which is no place of a run or logged model"
    run_id = facts.get("run_id") or (files.id if files and files.owner == "run" else "")
    model_id = facts.get("model_id") or (files.id if files and files.owner == "model" else "")
    source = facts.get("source") or ""
    if files:
        source = f"runs:/{files.id}" if files.owner == "run" else f"models:/{files.id}"
        source += f"/{files.path}" if files.path else ""
    kept = {SOURCE: source, RUN: run_id, RUN_LINK: facts.get("run_link"), LOGGED_MODEL: model_id, USER: facts.get("user_id")}
    stage = facts.get("current_stage")
    properties: dict[str, Any] = {
        "description": facts.get("description") or "", "labels" if prompt else "tags": tags, "properties": {k: v for k, v in kept.items() if v},
        "stage": "" if stage in (None, "None") else stage, "jobName": run_id or None,
    }
    if not prompt:
        properties["modelType"] = "mlflow_model"
    return Version(of.family, of.name, str(number), properties, files, seconds(facts["created"]), seconds(facts.get("updated") or facts["created"]))


def files_of(source: str) -> Files | None:
    """What a source or a place of files means: a folder of a run or of a logged model."""
    if match := _MODEL_ID.search(source):
        return Files("model", match[1], (match[2] or "").rstrip("/"))
    if match := _RUNS.fullmatch(source) or _IN_RUN.search(source):
        return Files("run", match["id"], (match["path"] or "").rstrip("/"))
    return None


def trace(
    id_: str, experiment_id: str, at: int, duration: int | None, state: str, texts: tuple[str | None, str | None, str | None], tags: dict[str, str],
    metadata: dict[str, str], spans: list[dict[str, Any]], said: list[Assessment], links: Iterable[tuple[str, str]] = (),
) -> Trace:
    """texts: the client's id, and the previews of request and response."""
    row: Row = fresh(id_, 0, at, state)
    row.duration = duration
    row.client_id, row.request, row.response = texts
    row.tag({k: v for k, v in tags.items() if k != ARTIFACTS})
    if spans:
        row.tags = {**row.tags, SPANS_LOCATION: TRACKING_STORE}
    row.describe(metadata)
    facts = {k: v for k, v in row.values().items() if k not in ("id", "experiment")}
    linked = {*links, *([("run", metadata[SOURCE_RUN])] if metadata.get(SOURCE_RUN) else [])}
    rows = [{k: v for k, v in assessments.row(0, one).items() if k != "trace"} for one in said]
    return Trace(id_, str(experiment_id), facts, sorted(spans, key=lambda s: s["id"]), sorted(rows, key=lambda a: a["id"]), sorted(linked))


def span(id_: str, parent: str | None, name: str, status: str, started: int, ended: int | None, content: str, attributes: dict[str, Any]) -> dict[str, Any]:
    """A row of the table of spans. content, attributes: as MLflow keeps them."""
    found = {name: loaded(attributes.get(name)) for name in (TYPE, MODEL, PROVIDER, USAGE, COST)}
    texts = {name: found[name] if isinstance(found[name], str) else None for name in (TYPE, MODEL, PROVIDER)}
    return {
        "id": id_, "parent": parent or None, "name": name, "type": texts[TYPE], "status": status, "started": started, "ended": ended, "model": texts[MODEL],
        "provider": texts[PROVIDER], "usage": numbers(found[USAGE], COUNTS), "cost": numbers(found[COST], COSTS), "content": content,
    }

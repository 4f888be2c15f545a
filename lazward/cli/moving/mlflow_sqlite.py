"""The SQLite file of an MLflow server: copied by SQLite's own backup, so that a server may go on writing, and the copy is read."""

from __future__ import annotations

import json
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from lazward.cli.moving import mlflow_records as made
from lazward.cli.moving.local_files import files_below, path_of
from lazward.cli.moving.source import BadSource, File, Item, Left, Points
from lazward.domain.tracking.assessments import Assessment
from lazward.domain.tracking.moved import Input, Number, Registered, RunEnd, Values, told
from lazward.domain.tracking.trace_summary import ARTIFACTS, COSTS, COUNTS, NAME, SESSION, TOKEN_USAGE, TRACE_COST

_PAGE = 500


class SqliteFile:
    """artifacts: the folder that `mlflow-artifacts:` stands for; files elsewhere are not read. chosen: names of experiments, or ()."""

    def __init__(self, path: Path, artifacts: Path, chosen: tuple[str, ...], with_files: bool):
        self.path, self.artifacts, self.chosen, self.with_files = path, artifacts, chosen, with_files
        self._copy = tempfile.NamedTemporaryFile(prefix="lazward-mlflow-", suffix=".db")  # noqa: SIM115 - lives as long as this does
        try:
            with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=30)) as source, closing(sqlite3.connect(self._copy.name)) as copy:
                source.backup(copy)
            self._db = sqlite3.connect(self._copy.name)
            self._db.row_factory = sqlite3.Row
            self._db.text_factory = lambda data: data.decode("utf-8", "replace")
            self._tables = {row[0]: {c[1] for c in self._db.execute(f'PRAGMA table_info("{row[0]}")')} for row in self._db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        except sqlite3.Error as error:
            raise BadSource(f"{path} cannot be read: {error}.") from None
        if missing := {"experiments", "runs", "metrics", "params", "tags"} - self._tables.keys():
            raise BadSource(f"{path} is no database of MLflow: it has no table {min(missing)}.")
        rows = self._all("SELECT * FROM experiments ORDER BY experiment_id")
        self._experiments = [row for row in rows if not chosen or row["name"] in chosen]
        if not self._experiments:
            raise BadSource(f"{path} holds no experiments{' of those names' if chosen else ''}.")
        self._mine = {row["experiment_id"] for row in self._experiments}
        self._places: list[tuple[Any, str, str]] = []  # (owner, id, artifact URI)
        self._taken: set[str] = set()

    def totals(self) -> dict[str, int]:
        out = {"experiments": len(self._experiments)}
        for word, table in (("runs", "runs"), ("logged models", "logged_models"), ("traces", "trace_info")):
            if table in self._tables:
                out[word] = sum(row["n"] for row in self._all(f"SELECT experiment_id, count(*) AS n FROM {table} GROUP BY experiment_id") if row["experiment_id"] in self._mine)  # noqa: S608
        return out

    def items(self) -> Iterator[Item]:
        try:
            for row in self._experiments:
                tags = self._pairs("SELECT key, value FROM experiment_tags WHERE experiment_id = ?", row["experiment_id"])
                yield made.experiment(row["experiment_id"], row["name"], row["lifecycle_stage"], tags, _of(row, "creation_time"), _of(row, "last_update_time"))
            for row in self._rows("runs", "run_uuid"):
                yield from self._run(row)
            for row in self._rows("logged_models", "model_id"):
                yield self._model(row)
            yield from self._registered()
            for row in self._rows("trace_info", "request_id"):
                yield self._trace(row)
        except (sqlite3.Error, msgspec.DecodeError, KeyError) as error:
            raise BadSource(f"{self.path}: {type(error).__name__}: {error}.") from None
        if self.with_files:
            for owner, id_, uri in self._places:
                yield from self._files(owner, id_, uri)

    # ---- runs and models ----------------------------------------------------------------------------------------------------

    def _run(self, row: sqlite3.Row) -> Iterator[Item]:
        id_ = row["run_uuid"]
        latest = {r["key"]: (r["step"], r["timestamp"]) for r in self._all("SELECT key, step, timestamp FROM latest_metrics WHERE run_uuid = ?", id_)}
        count = self._all("SELECT count(*) AS n FROM metrics WHERE run_uuid = ?", id_)[0]["n"]
        times = row["start_time"], row["end_time"], _of(row, "deleted_time")
        yield made.run(
            id_, row["experiment_id"], row["name"], row["status"], row["lifecycle_stage"], row["user_id"], times,
            self._pairs("SELECT key, value FROM params WHERE run_uuid = ?", id_), self._pairs("SELECT key, value FROM tags WHERE run_uuid = ?", id_),
            self._inputs(id_), latest, count,
        )

        def values() -> Iterator[Values]:
            found = self._db.execute("SELECT key, timestamp, step, value, is_nan FROM metrics WHERE run_uuid = ?", (id_,))
            yield from made.in_pieces(id_, ((r["key"], r["timestamp"], r["step"], told(r["value"], bool(r["is_nan"]))) for r in found))

        yield Points(id_, values)
        yield RunEnd(id_)
        self._taken.add(id_)
        self._places.append(("run", id_, row["artifact_uri"] or ""))

    def _inputs(self, run: str) -> list[Input]:
        if "inputs" not in self._tables:
            return []
        out = []
        for row in self._all("SELECT i.input_uuid, d.* FROM inputs i JOIN datasets d ON d.dataset_uuid = i.source_id WHERE i.source_type = 'DATASET' AND i.destination_id = ?", run):
            tags = self._pairs("SELECT name, value FROM input_tags WHERE input_uuid = ?", row["input_uuid"])
            out.append(Input(row["name"], row["digest"], row["dataset_source_type"], row["dataset_source"], row["dataset_schema"], row["dataset_profile"], tags))
        return out

    def _model(self, row: sqlite3.Row) -> Any:
        id_ = row["model_id"]
        metrics: list[tuple[str, int, int, Number, str, str, str]] = [
            (m["metric_name"], m["metric_timestamp_ms"], m["metric_step"], "NaN" if m["metric_value"] is None else told(m["metric_value"], False), m["run_id"], m["dataset_name"] or "", m["dataset_digest"] or "")
            for m in self._all("SELECT * FROM logged_model_metrics WHERE model_id = ?", id_)
        ]
        links = [
            ("model_in" if link["destination_type"] == "MODEL_INPUT" else "model_out", link["source_id"], link["step"])
            for link in self._all("SELECT * FROM inputs WHERE destination_id = ? AND destination_type IN ('MODEL_INPUT', 'MODEL_OUTPUT')", id_)
        ]
        self._taken.add(id_)
        self._places.append(("model", id_, row["artifact_location"] or ""))
        return made.model(
            id_, row["experiment_id"], row["name"], row["model_type"], made.MODEL_STATUSES.get(row["status"], made.MODEL_STATUSES[1]), row["lifecycle_stage"], row["source_run_id"],
            self._pairs("SELECT tag_key, tag_value FROM logged_model_tags WHERE model_id = ?", id_),
            self._pairs("SELECT param_key, param_value FROM logged_model_params WHERE model_id = ?", id_), row["creation_timestamp_ms"], row["last_updated_timestamp_ms"], metrics, links,
        )

    # ---- the registry -------------------------------------------------------------------------------------------------------

    def _registered(self) -> Iterator[Item]:
        for row in self._all("SELECT * FROM registered_models ORDER BY name") if "registered_models" in self._tables else ():
            name = row["name"]
            aliases = self._pairs("SELECT alias, version FROM registered_model_aliases WHERE name = ?", name) if "registered_model_aliases" in self._tables else {}
            tags = self._pairs("SELECT key, value FROM registered_model_tags WHERE name = ?", name) if "registered_model_tags" in self._tables else {}
            of = made.registered(name, row["description"], tags, aliases, row["creation_time"], row["last_updated_time"])
            versions = list(self._versions(of))
            if versions or not self.chosen:
                yield of
                yield from versions

    def _versions(self, of: Registered) -> Iterator[Item]:
        for row in self._all("SELECT * FROM model_versions WHERE name = ? AND current_stage <> 'Deleted_Internal' ORDER BY version", of.name):
            tags = self._pairs(f"SELECT key, value FROM model_version_tags WHERE name = ? AND version = {int(row['version'])}", of.name) if "model_version_tags" in self._tables else {}  # noqa: S608
            facts = {**dict(row), "created": row["creation_time"], "updated": row["last_updated_time"]}
            version = made.version(of, row["version"], facts, tags, _of(row, "storage_location") or "")
            if isinstance(version, str):
                if not self.chosen:
                    yield Left(f"version {row['version']} of the model {of.name!r}", version)
            elif not self.chosen or (version.files and version.files.id in self._taken):
                yield version

    # ---- traces -------------------------------------------------------------------------------------------------------------

    def _trace(self, row: sqlite3.Row) -> Any:
        id_ = row["request_id"]
        tags = self._pairs("SELECT key, value FROM trace_tags WHERE request_id = ?", id_)
        if _of(row, "trace_name"):
            tags.setdefault(NAME, row["trace_name"])
        spans = []
        for s in self._all("SELECT * FROM spans WHERE trace_id = ?", id_) if "spans" in self._tables else ():
            attributes = msgspec.json.decode(s["content"]).get("attributes") or {}
            status = s["status"] if s["status"] in ("OK", "ERROR") else "UNSET"
            spans.append(made.span(s["span_id"], s["parent_span_id"], s["name"] or "", status, s["start_time_unix_nano"], s["end_time_unix_nano"], s["content"], attributes))
        said = [self._said(a) for a in self._all("SELECT * FROM assessments WHERE trace_id = ?", id_)] if "assessments" in self._tables else []
        if ARTIFACTS in tags:
            self._places.append(("trace", id_, tags[ARTIFACTS]))
        return made.trace(
            id_, row["experiment_id"], row["timestamp_ms"], row["execution_time_ms"], row["status"] if row["status"] in ("OK", "ERROR", "IN_PROGRESS") else "STATE_UNSPECIFIED",
            (_of(row, "client_request_id"), _of(row, "request_preview"), _of(row, "response_preview")), tags,
            _metadata(row, self._pairs("SELECT key, value FROM trace_request_metadata WHERE request_id = ?", id_)), spans, said, self._linked(id_),
        )

    def _linked(self, trace: str) -> list[tuple[str, str]]:
        if "entity_associations" not in self._tables:
            return []
        return [("run", row["destination_id"]) for row in self._all("SELECT * FROM entity_associations WHERE source_type = 'trace' AND destination_type = 'run' AND source_id = ?", trace)]

    @staticmethod
    def _said(row: sqlite3.Row) -> Assessment:
        metadata = msgspec.json.decode(row["assessment_metadata"]) if row["assessment_metadata"] else {}
        error = msgspec.json.decode(row["error"]) if row["error"] else None
        return Assessment(
            row["assessment_id"], row["assessment_type"], row["name"], msgspec.json.decode(row["value"]), row["created_timestamp"], row["last_updated_timestamp"], bool(row["valid"]),
            row["source_type"], row["source_id"], {k: str(v) for k, v in error.items() if v is not None} if error else None, row["span_id"], row["rationale"], row["overrides"],
            {k: str(v) for k, v in metadata.items()},
        )

    # ---- files and rows -----------------------------------------------------------------------------------------------------

    def _files(self, owner: Any, id_: str, uri: str) -> Iterator[File | Left]:
        place = path_of(uri, self.artifacts)
        if place is None:
            yield Left(f"files of the {owner} {id_}", f"they are at {uri}, not in {self.artifacts}; --artifacts names the folder")
        elif place.is_dir():
            yield from files_below(place, owner, id_)

    def _rows(self, table: str, key: str) -> Iterator[sqlite3.Row]:
        """Of the chosen experiments, in the order they are stored."""
        after = -1
        while table in self._tables:
            found = self._all(f"SELECT rowid AS _at, * FROM {table} WHERE rowid > ? ORDER BY rowid LIMIT {_PAGE}", after)  # noqa: S608 - names are ours
            yield from (row for row in found if row["experiment_id"] in self._mine)
            if len(found) < _PAGE:
                return
            after = found[-1]["_at"]

    def _all(self, statement: str, *values: Any) -> list[sqlite3.Row]:
        return self._db.execute(statement, values).fetchall()

    def _pairs(self, statement: str, value: Any) -> dict[str, str]:
        return {row[0]: "" if row[1] is None else str(row[1]) for row in self._all(statement, value)}


def _metadata(row: sqlite3.Row, kept: dict[str, str]) -> dict[str, str]:
    """Newer releases keep what is searched for in columns."""
    out = {SESSION: row["session_id"]} if _of(row, "session_id") is not None else {}
    for member, columns in ((TOKEN_USAGE, COUNTS), (TRACE_COST, COSTS)):
        found = {name: _of(row, name) for name in columns if _of(row, name) is not None}
        if found:
            out[member] = json.dumps(found)
    return {**kept, **out}


def _of(row: sqlite3.Row, name: str) -> Any:
    """Older releases have fewer columns."""
    return row[name] if name in row.keys() else None  # noqa: SIM118 - a Row's `in` looks at values

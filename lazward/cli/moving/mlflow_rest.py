"""A running MLflow server (2.x and 3.x), asked through its REST API."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

from lazward.apps.mlflow import otlp
from lazward.cli.moving import mlflow_records as made
from lazward.cli.moving.mlflow_http import Api, NotThere
from lazward.cli.moving.source import BadSource, File, Item, Left, Points
from lazward.contract.mlflow import MlflowError
from lazward.domain.tracking.assessments import check_assessment
from lazward.domain.tracking.moved import Input, Number, Registered, RunEnd
from lazward.domain.tracking.trace_summary import ARTIFACTS, batches
from lazward.domain.tracking.wire import duration_ms, milliseconds

_PROMPTS = "tags.`mlflow.prompt.is_prompt` = 'true'"


class Rest:
    """chosen: names of experiments, or () for all."""

    def __init__(self, base: str, chosen: tuple[str, ...], with_files: bool):
        self.api, self.chosen, self.with_files = Api(base), chosen, with_files
        try:
            found = list(self.api.pages("experiments", lambda token: self.api.post("mlflow/experiments/search", _paged(token, max_results=1000, view_type="ALL"))))
        except NotThere as error:
            raise BadSource(f"{base} is no MLflow server, or its API is at another path: {error}.") from None
        self._experiments = sorted((e for e in found if not chosen or e["name"] in chosen), key=lambda e: (int(e.get("creation_time") or 0), e["experiment_id"]))
        if not self._experiments:
            raise BadSource(f"{base} shows no experiments{' of those names' if chosen else ''}.")
        self._links: dict[str, list[tuple[str, str, int]]] = {}
        self._places: list[tuple[Any, str, str]] = []  # (owner, id, artifact URI)
        self._taken: set[str] = set()

    def totals(self) -> dict[str, int]:
        return {}  # the server does not count

    def items(self) -> Iterator[Item]:
        try:
            for e in self._experiments:
                yield made.experiment(e["experiment_id"], e["name"], e.get("lifecycle_stage") or "active", _pairs(e.get("tags")), _int(e.get("creation_time")), _int(e.get("last_update_time")))
            for e in self._experiments:
                for run in self._search("mlflow/runs/search", "runs", [e["experiment_id"]], run_view_type="ALL", max_results=1000):
                    yield from self._run(run)
            yield from self._models()
            yield from self._registered()
            yield from self._traces()
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BadSource(f"{self.api.base} answers something else than MLflow: {type(error).__name__}: {error}.") from None
        if self.with_files:
            for owner, id_, uri in self._places:
                yield from self._files(owner, id_, uri)

    def _search(self, path: str, member: str, ids: list[str], **more: Any) -> Iterator[dict[str, Any]]:
        return self.api.pages(member, lambda token: self.api.post(path, _paged(token, experiment_ids=ids, **more)))

    # ---- runs and models ----------------------------------------------------------------------------------------------------

    def _run(self, run: dict[str, Any]) -> Iterator[Item]:
        info, data = run["info"], run.get("data") or {}
        id_ = info.get("run_id") or info["run_uuid"]
        metrics = data.get("metrics") or []
        inputs, outputs = run.get("inputs") or {}, run.get("outputs") or {}
        for kind, links in (("model_in", inputs.get("model_inputs")), ("model_out", outputs.get("model_outputs"))):
            for link in links or ():
                self._links.setdefault(link["model_id"], []).append((kind, id_, int(link.get("step") or 0)))
        used = []
        for one in inputs.get("dataset_inputs") or ():
            d = one["dataset"]
            used.append(Input(d["name"], d["digest"], d.get("source_type") or "", d.get("source") or "", d.get("schema"), d.get("profile"), _pairs(one.get("tags"))))
        yield made.run(
            id_, info["experiment_id"], info.get("run_name"), info.get("status") or "RUNNING", info.get("lifecycle_stage"), info.get("user_id"),
            (_int(info.get("start_time")), _int(info.get("end_time")), None), _pairs(data.get("params")), _pairs(data.get("tags")), used,
            {m["key"]: (_int(m.get("step")) or 0, _int(m.get("timestamp")) or 0) for m in metrics},
        )
        yield Points(id_, lambda: made.in_pieces(id_, self._history(id_, sorted({m["key"] for m in metrics}))))  # type: ignore[arg-type, return-value]
        yield RunEnd(id_)
        self._taken.add(id_)
        self._places.append(("run", id_, info.get("artifact_uri") or ""))

    def _history(self, run: str, keys: list[str]) -> Iterator[tuple[str, int, int, Number]]:
        for key in keys:
            pages = self.api.pages("metrics", lambda token, key=key: self.api.get("mlflow/metrics/get-history", run_id=run, metric_key=key, max_results=25_000, page_token=token))  # type: ignore[misc]
            for m in pages:
                yield m["key"], int(m.get("timestamp") or 0), int(m.get("step") or 0), _number(m.get("value"))

    def _models(self) -> Iterator[Item]:
        for e in self._experiments:
            try:
                for model in self._search("mlflow/logged-models/search", "models", [e["experiment_id"]], max_results=50):
                    yield self._model(model["info"], model.get("data") or {})
            except NotThere:
                return  # of a server before 3.0

    def _model(self, info: dict[str, Any], data: dict[str, Any]) -> Any:
        id_ = info["model_id"]
        metrics = [
            (m["key"], int(m.get("timestamp") or 0), int(m.get("step") or 0), _number(m.get("value")), m.get("run_id") or "", m.get("dataset_name") or "", m.get("dataset_digest") or "")
            for m in data.get("metrics") or ()
        ]
        status: Any = info.get("status") or made.MODEL_STATUSES[1]
        self._taken.add(id_)
        self._places.append(("model", id_, info.get("artifact_uri") or ""))
        return made.model(
            id_, info["experiment_id"], info["name"], info.get("model_type"), str(made.MODEL_STATUSES.get(status, status)), None, info.get("source_run_id"), _pairs(info.get("tags")),
            _pairs(data.get("params")), int(info["creation_timestamp_ms"]), int(info["last_updated_timestamp_ms"]), metrics, self._links.get(id_, []),
        )

    # ---- the registry -------------------------------------------------------------------------------------------------------

    def _registered(self) -> Iterator[Item]:
        seen = set()
        for which in (None, _PROMPTS):
            try:
                for m in self.api.pages("registered_models", lambda token, which=which: self.api.get("mlflow/registered-models/search", max_results=100, filter=which, page_token=token)):  # type: ignore[misc]
                    if m["name"] not in seen:
                        seen.add(m["name"])
                        yield from self._named(m)
            except NotThere:
                return
            except BadSource:
                if which is None:
                    raise  # else a server that knows no prompts

    def _named(self, m: dict[str, Any]) -> Iterator[Item]:
        aliases = {a["alias"]: str(a["version"]) for a in m.get("aliases") or ()}
        of = made.registered(m["name"], m.get("description"), _pairs(m.get("tags")), aliases, int(m["creation_timestamp"]), _int(m.get("last_updated_timestamp")))
        versions = list(self._versions(of))
        if versions or not self.chosen:
            yield of
            yield from versions

    def _versions(self, of: Registered) -> Iterator[Item]:
        name = of.name.replace("'", "''")
        conditions = [f"name = '{name}'"] + ([_PROMPTS] if of.family == "prompts" else [])
        pages = self.api.pages("model_versions", lambda token: self.api.get("mlflow/model-versions/search", filter=" AND ".join(conditions), max_results=1000, page_token=token))
        for v in sorted(pages, key=lambda v: int(v["version"])):
            facts = {**v, "created": int(v["creation_timestamp"]), "updated": _int(v.get("last_updated_timestamp"))}
            version = made.version(of, v["version"], facts, _pairs(v.get("tags")))
            if isinstance(version, str):
                if not self.chosen:
                    yield Left(f"version {v['version']} of the model {of.name!r}", version)
            elif not self.chosen or (version.files and version.files.id in self._taken):
                yield version

    # ---- traces -------------------------------------------------------------------------------------------------------------

    def _traces(self) -> Iterator[Item]:
        for e in self._experiments:
            where = [{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": e["experiment_id"]}}]
            try:
                for info in self.api.pages("traces", lambda token, where=where: self.api.post("mlflow/traces/search", _paged(token, locations=where, max_results=100), "3.0")):  # type: ignore[misc]
                    yield self._trace(info, e["experiment_id"])
            except NotThere:
                return  # of a server before 3.0

    def _trace(self, info: dict[str, Any], experiment: str) -> Item:
        id_, tags = info["trace_id"], dict(info.get("tags") or {})
        try:
            at = milliseconds(info["request_time"], "request_time")
            said = [check_assessment({k: v for k, v in one.items() if v is not None}, "assessments", at) for one in info.get("assessments") or ()]
            spans = self._spans(id_)
        except MlflowError as error:
            return Left(f"trace {id_}", error.message)
        if ARTIFACTS in tags:
            self._places.append(("trace", id_, tags[ARTIFACTS]))
        texts = info.get("client_request_id"), info.get("request_preview"), info.get("response_preview")
        return made.trace(
            id_, experiment, at, duration_ms(info.get("execution_duration"), "execution_duration"), info.get("state") or "STATE_UNSPECIFIED", texts, tags,
            dict(info.get("trace_metadata") or {}), spans, said,
        )

    def _spans(self, trace: str) -> list[dict[str, Any]]:
        """[] of a trace whose spans are in its files, which come along."""
        try:
            found = self.api.get("mlflow/traces/get", "3.0", trace_id=trace)["trace"].get("spans") or []
        except NotThere:
            return []
        spans, faults = otlp.from_json({"resourceSpans": [{"scopeSpans": [{"spans": [_as_otlp(one) for one in found]}]}]})
        if faults:
            raise MlflowError("INVALID_PARAMETER_VALUE", faults[0], "spans")
        return batches(spans)[0].rows if spans else []

    # ---- files --------------------------------------------------------------------------------------------------------------

    def _files(self, owner: Any, id_: str, uri: str) -> Iterator[File | Left]:
        try:
            for path, size in self.api.files(uri):
                yield File(owner, id_, path, size, lambda path=path: self.api.download(uri, path), compared=False)  # type: ignore[misc]
        except (NotThere, BadSource) as error:
            yield Left(f"files of the {owner} {id_}", str(error))


def _paged(token: str | None, **body: Any) -> dict[str, Any]:
    return body | ({"page_token": token} if token else {})


def _pairs(found: Any) -> dict[str, str]:
    return {one["key"]: one.get("value") or "" for one in found or ()}


def _as_otlp(raw: Any) -> Any:
    """MLflow answers spans with protobuf's own names and ids in base64; OTLP's JSON has camel case and hexadecimal digits."""
    if isinstance(raw, list):
        return [_as_otlp(one) for one in raw]
    if not isinstance(raw, dict):
        return raw
    out = {}
    for name, value in raw.items():
        if name in ("trace_id", "span_id", "parent_span_id") and isinstance(value, str):
            value = base64.b64decode(value).hex()
        first, *rest = name.split("_")
        out[first + "".join(map(str.title, rest))] = _as_otlp(value)
    return out


def _int(value: Any) -> int | None:
    return None if value is None else int(value)


def _number(value: Any) -> Number:
    return 0.0 if value is None else value if isinstance(value, str) else float(value)



"""MLflow's traces/* calls."""

from __future__ import annotations

import asyncio
import re
import uuid
from typing import Any

from starlette.responses import Response, StreamingResponse

from lazward.apps.mlflow import trace_shapes
from lazward.apps.mlflow.artifacts import SAFE
from lazward.apps.mlflow.call import Call
from lazward.apps.mlflow.shapes import Json
from lazward.apps.run_artifacts import Root, RunArtifacts
from lazward.contract.mlflow import MlflowError, invalid, missing
from lazward.domain.tracking import names
from lazward.domain.tracking.correlation import npmi
from lazward.domain.tracking.filter import TRACES, parse_filter, parse_orders
from lazward.domain.tracking.paths import CONTAINER, trace_prefix
from lazward.domain.tracking.trace_metrics import MAX_RESULTS, check_query
from lazward.domain.tracking.trace_summary import SIZES, SPANS_LOCATION, TRACKING_STORE
from lazward.domain.tracking.traces import (
    MAX_IDS,
    MAX_LINKED,
    check_tag_change,
    check_trace,
    check_trace_id,
    expected_spans,
    location,
    state,
)
from lazward.domain.tracking.wire import FIRST, LAST, entries
from lazward.storage import experiments, spans, trace_metrics, trace_search, traces

MAX_TRACES = 500  # of a page
_AT_ONCE = 1000  # deleted in one transaction
_PAUSES_S = (0.1, 0.2, 0.4, 0.8, 1.5)  # for spans that are still on their way


async def start(call: Call) -> Json:
    """Version 3: a whole trace, {trace: {trace_info}}; version 2: its begin, {experiment_id, timestamp_ms, ...}."""
    if "trace" in call.args or "experiment_id" not in call.args:
        given = call.args.get("trace")
        draft = check_trace(given.get("trace_info") if isinstance(given, dict) else None, _now(call))
        return {"trace": {"trace_info": trace_shapes.info(call, await call.write(traces.start, draft, call.now))}}
    metadata, tags = entries(call.items("request_metadata"), "request_metadata"), entries(call.items("tags"), "tags")
    at = _moment(call)
    made = await call.write(traces.begin, f"tr-{uuid.uuid4().hex}", call.required("experiment_id"), at, tags, metadata, call.now)
    return {"trace_info": trace_shapes.info_2(call, made)}


async def end(call: Call) -> Json:
    """Version 2."""
    metadata, tags = entries(call.items("request_metadata"), "request_metadata"), entries(call.items("tags"), "tags")
    at, ended = _moment(call), state(call.args.get("status"), "status")
    return {"trace_info": trace_shapes.info_2(call, await call.write(traces.end, call.path["trace_id"], at, ended, tags, metadata))}


async def info(call: Call) -> Json:
    return {"trace": {"trace_info": trace_shapes.info(call, await call.read(traces.one, call.path["trace_id"]))}}


async def info_2(call: Call) -> Json:
    return {"trace_info": trace_shapes.info_2(call, await call.read(traces.one, call.path["trace_id"]))}


async def get(call: Call) -> Json:
    """With spans. Clients send the trace and its spans apart, so the last of them are waited for a little."""
    id_ = check_trace_id(call.args.get("trace_id"))
    partial = call.flag("allow_partial")
    for pause in (*_PAUSES_S, None):
        full, kept = await call.read(spans.whole, id_)
        if full.trace.tags.get(SPANS_LOCATION) != TRACKING_STORE:
            raise invalid(f"The spans of the trace '{id_}' are not in the tracking store but among its artifacts.", "trace_id")
        if partial or (kept and len(kept) >= expected_spans(full.trace.metadata.get(SIZES))):
            return {"trace": trace_shapes.whole(call, full, kept)}
        if pause is not None:
            await asyncio.sleep(pause)
    raise missing(f"Trace with ID {id_} is not fully exported yet, please try again later.")


async def batch_get(call: Call) -> Json:
    """Traces that are there as a whole; the client looks elsewhere for others."""
    found = await call.read(spans.whole_many, _ids(call, "trace_ids"), _experiments(call))
    complete = [(full, kept) for full, kept in found if kept and len(kept) >= expected_spans(full.trace.metadata.get(SIZES))]
    return {"traces": [trace_shapes.whole(call, full, kept) for full, kept in complete]}


async def batch_infos(call: Call) -> Json:
    found = await call.read(traces.many, _ids(call, "trace_ids"), _experiments(call))
    return {"trace_infos": [trace_shapes.info(call, full) for full in found]}


async def search(call: Call) -> Json:
    places = call.items("locations")
    if not places:
        raise invalid("Missing value for required parameter 'locations'.", "locations")
    found, token = await _search(call, [location(place, f"locations[{i}]") for i, place in enumerate(places)])
    return {"traces": [trace_shapes.info(call, full) for full in found]} | ({"next_page_token": token} if token else {})


async def search_2(call: Call) -> Json:
    found, token = await _search(call, _ids(call, "experiment_ids"))
    return {"traces": [trace_shapes.info_2(call, full) for full in found]} | ({"next_page_token": token} if token else {})


async def _search(call: Call, places: list[str]) -> tuple[list[traces.Full], str | None]:
    condition, orders = parse_filter(call.text("filter"), TRACES), parse_orders(call.items("order_by"), TRACES)
    return await call.read(trace_search.search, places, condition, orders, call.limit(100, MAX_TRACES), call.text("page_token") or None)


async def delete(call: Call) -> Json:
    experiment, until, most = call.required("experiment_id"), call.integer("max_timestamp_millis"), call.integer("max_traces")
    ids = [check_trace_id(id_, "request_ids") for id_ in call.texts("request_ids")]
    if until is None and not ids:
        raise invalid("Either `max_timestamp_millis` or `trace_ids` must be specified.", "request_ids")
    if until is not None and ids:
        raise invalid("Only one of `max_timestamp_millis` and `trace_ids` can be specified.", "request_ids")
    if ids and most is not None:
        raise invalid("`max_traces` can't be specified if `trace_ids` is specified.", "max_traces")
    if most is not None and most <= 0:
        raise invalid(f"`max_traces` must be a positive integer, received {most}.", "max_traces")
    if len(ids) > MAX_IDS:
        raise invalid(f"At most {MAX_IDS} traces can be deleted by id at once. Got {len(ids)}.", "request_ids")
    gone = 0
    while most is None or gone < most:
        limit = _AT_ONCE if most is None else min(_AT_ONCE, most - gone)
        count = await call.write(traces.delete, experiment, call.now, limit, until=until, ids=ids or None)
        gone += count
        if count < limit:
            break
    return {"traces_deleted": gone}


async def set_tag(call: Call) -> Json:
    key = check_tag_change(call.args.get("key"), "set")
    await call.write(traces.set_tag, call.path["trace_id"], key, names.check_value(call.args.get("value")))
    return {}


async def delete_tag(call: Call) -> Json:
    await call.write(traces.delete_tag, call.path["trace_id"], check_tag_change(call.args.get("key"), "deleted"))
    return {}


async def link_run(call: Call) -> Json:
    ids = _ids(call, "trace_ids")
    if len(ids) > MAX_LINKED:
        raise invalid(f"Cannot link more than {MAX_LINKED} traces to a run in a single request. Provided {len(ids)} traces.", "trace_ids")
    await call.write(traces.link_run, ids, call.run_id())
    return {}


async def link_prompts(call: Call) -> Json:
    raw = call.items("prompt_versions")
    if not raw or len(raw) > MAX_LINKED:
        raise invalid(f"prompt_versions must be a list of 1 to {MAX_LINKED} of them.", "prompt_versions")
    prompts = [_prompt(item, f"prompt_versions[{i}]") for i, item in enumerate(raw)]
    await call.write(traces.link_prompts, check_trace_id(call.args.get("trace_id")), prompts)
    return {}


def _prompt(item: Any, where: str) -> str:
    name = item.get("name") if isinstance(item, dict) else None
    if not isinstance(name, str) or not name or len(name) > names.MAX_KEY:
        raise invalid(f"Missing or too long value for required parameter '{where}.name'.", f"{where}.name")
    return f"{name}/{names.integer(item.get('version'), f'{where}.version')}"


async def metrics(call: Call) -> Json:
    asked = check_query(
        call.args.get("view_type"), call.required("metric_name"), call.items("aggregations"), call.texts("dimensions"), call.texts("filters"),
        call.integer("time_interval_seconds"), call.integer("start_time_ms"), call.integer("end_time_ms"), call.limit(1000, MAX_RESULTS),
    )
    found = await call.read(trace_metrics.query, _ids(call, "experiment_ids"), asked)
    return {"data_points": trace_shapes.points(asked.metric, found)}


async def correlate(call: Call) -> Json:
    first, second, base = (parse_filter(call.text(name), TRACES) for name in ("filter_string1", "filter_string2", "base_filter"))
    for name in ("filter_string1", "filter_string2"):
        call.required(name)
    counts = await call.read(trace_search.counts, _ids(call, "experiment_ids"), first, second, base)
    return trace_shapes.correlation(*counts, npmi(*counts))


async def artifact(call: Call) -> Response:
    """What the pages of MLflow load: the spans of a trace as its traces.json, or an attachment of it."""
    id_, path = check_trace_id(call.args.get("request_id"), "request_id"), call.text("path")
    full, kept = await call.read(spans.whole, id_)
    headers = {**SAFE, "content-disposition": 'attachment; filename="traces.json"'}
    if not path and full.trace.tags.get(SPANS_LOCATION) == TRACKING_STORE:
        return Response(f'{{"spans":[{",".join(kept)}]}}', headers=headers, media_type="application/octet-stream")
    if full.experiment.location:
        raise invalid(f"The artifacts of the trace '{id_}' are kept at {full.experiment.location}, not in the workspace.", "request_id")
    _, account = await call.read(experiments.workspace)
    if not account:
        raise missing("The workspace has no storage account yet.")
    store, root = RunArtifacts(call.ctx.services), Root(account, CONTAINER, trace_prefix(id_))
    name = f"attachments/{path}" if path else "traces.json"
    await store.find(root, name)
    headers["content-disposition"] = f'attachment; filename="{re.sub(r"[^A-Za-z0-9._-]", "_", name.rsplit("/", 1)[-1])}"'
    return StreamingResponse(store.read(root, name), headers=headers, media_type="application/octet-stream")


async def elsewhere(call: Call) -> Json:
    """Calls that MLflow has for one hosted service alone."""
    raise MlflowError("NOT_IMPLEMENTED", "This call is for traces of Databricks' inference tables and catalogues, which MLflow's own server does not have either.")


def _ids(call: Call, name: str) -> list[str]:
    ids = call.texts(name)
    if not ids:
        raise invalid(f"Missing value for required parameter '{name}'.", name)
    if len(ids) > MAX_IDS:
        raise invalid(f"At most {MAX_IDS} {name} can be asked for at once. Got {len(ids)}.", name)
    return ids


def _experiments(call: Call) -> list[str] | None:
    return call.texts("experiment_ids") if "experiment_ids" in call.args else None


def _moment(call: Call) -> int:
    """timestamp_ms, between the years 1 and 9999, which is what answers can say; now when it is not given."""
    at = call.integer("timestamp_ms", _now(call)) or 0
    if not FIRST <= at <= LAST:
        raise invalid(f"Invalid value {at} for parameter 'timestamp_ms' supplied: it must be between {FIRST} and {LAST}.", "timestamp_ms")
    return at


def _now(call: Call) -> int:
    return round(call.now * 1000)

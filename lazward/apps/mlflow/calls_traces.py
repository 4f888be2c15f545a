"""The table of the calls about traces, as calls.py takes it over: (verb, path, handler, right)."""

from __future__ import annotations

from lazward.apps.mlflow import assessments, traces

READ, WRITE, DELETE = "experiments/runs/read", "experiments/runs/write", "experiments/runs/delete"
_TRACE = r"traces/(?P<trace_id>[^/]+)"
_ASSESSMENT = _TRACE + r"/assessments/(?P<assessment_id>[^/]+)"

TRACE_CALLS = [
    # What is spelled out comes first: {trace_id} takes any word.
    ("POST", "traces", traces.start, WRITE),
    ("GET", "traces", traces.search_2, READ),
    ("POST", "traces/search", traces.search, READ),
    ("GET", "traces/get", traces.get, READ),
    ("GET", "traces/batchGet", traces.batch_get, READ),
    ("POST", "traces/batchGetInfos", traces.batch_infos, READ),
    ("POST", "traces/delete-traces", traces.delete, DELETE),
    ("POST", "traces/link-to-run", traces.link_run, WRITE),
    ("POST", "traces/link-prompts", traces.link_prompts, WRITE),
    ("POST", "traces/metrics", traces.metrics, READ),
    ("POST", "traces/calculate-filter-correlation", traces.correlate, READ),
    ("GET", "get-trace-artifact", traces.artifact, "metadata/artifacts/read"),
    ("GET", "get-online-trace-details", traces.elsewhere, READ),
    ("GET", "unified-traces", traces.elsewhere, READ),
    ("GET", _TRACE, traces.info, READ),
    ("PATCH", _TRACE, traces.end, WRITE),
    ("GET", _TRACE + "/info", traces.info_2, READ),
    ("PATCH", _TRACE + "/tags", traces.set_tag, WRITE),
    ("DELETE", _TRACE + "/tags", traces.delete_tag, WRITE),
    ("POST", _TRACE + "/assessments", assessments.create, WRITE),
    ("GET", _ASSESSMENT, assessments.get, READ),
    ("PATCH", _ASSESSMENT, assessments.update, WRITE),
    ("DELETE", _ASSESSMENT, assessments.delete, WRITE),
]

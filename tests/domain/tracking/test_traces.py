from __future__ import annotations

import pytest

from lazward.contract.mlflow import MlflowError
from lazward.domain.tracking.traces import check_tag_change, check_trace, expected_spans, state

WHOLE = {
    "trace_id": "tr-1", "trace_location": {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "0"}}, "request_time": "1970-01-01T00:00:01Z", "execution_duration": "0.5s",
    "state": "OK", "client_request_id": "c", "request_preview": "q", "tags": {"a": "b"}, "trace_metadata": {"m": "n"}, "assessments": [{"assessment_name": "x", "feedback": {"value": 1}}],
}


def test_a_whole_trace():
    draft = check_trace(WHOLE, 7)
    assert (draft.id, draft.experiment, draft.at, draft.duration, draft.state, draft.client_id, draft.request, draft.response) == ("tr-1", "0", 1000, 500, "OK", "c", "q", None)
    assert (draft.tags, draft.metadata, draft.assessments[0].created) == ({"a": "b"}, {"m": "n"}, 7)
    short = check_trace({name: WHOLE[name] for name in ("trace_id", "trace_location")}, 7)
    assert (short.at, short.duration, short.state, short.tags) == (7, None, "STATE_UNSPECIFIED", {})


@pytest.mark.parametrize(("name", "value", "told"), [
    ("trace_id", None, "trace_id"), ("trace_id", "../x", "trace_id"), ("trace_id", "a/b", "trace_id"), ("trace_location", {"inference_table": {}}, "experiment_id"), ("trace_location", None, "experiment_id"), ("request_time", 5, "request_time"), ("execution_duration", "x", "execution_duration"),
    ("state", "GOOD", "state"), ("tags", ["x"], "tags"), ("trace_metadata", {"a": 1}, "trace_metadata.a"), ("assessments", {"a": 1}, "assessments"), ("assessments", [5], "assessments[0]"), ("client_request_id", 5, "client_request_id"),
])
def test_errors_name_the_field(name, value, told):
    with pytest.raises(MlflowError) as error:
        check_trace({**WHOLE, name: value}, 7)
    assert error.value.code == "INVALID_PARAMETER_VALUE" and told in error.value.message


def test_states():
    assert [state(raw, "s") for raw in (None, "TRACE_STATUS_UNSPECIFIED", 1, "ERROR", 3)] == ["STATE_UNSPECIFIED", "STATE_UNSPECIFIED", "OK", "ERROR", "IN_PROGRESS"]
    for raw in (4, -1, True, "ok", {}):
        with pytest.raises(MlflowError):
            state(raw, "s")


def test_what_the_server_says_no_client_says():
    assert check_tag_change("a", "set") == "a"
    assert check_tag_change("mlflow.trace.archivalFailure", "deleted")
    for key in ("mlflow.trace.spansLocation", "mlflow.artifactLocation", "", None, "a\nb"):
        with pytest.raises(MlflowError):
            check_tag_change(key, "set")


@pytest.mark.parametrize(("text", "count"), [(None, 0), ('{"num_spans": 3}', 3), ("[", 0), ("[]", 0), ('{"num_spans": "3"}', 0)])
def test_expected_spans(text, count):
    assert expected_spans(text) == count

"""Checks of names, values and limits, with MLflow's own validation as the oracle for names."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from mlflow.exceptions import MlflowException
from mlflow.utils.validation import _validate_metric_name

from lazward.contract.mlflow import MlflowError
from lazward.domain.tracking import names


@given(st.text(max_size=260) | st.text("ab/._- :é\\", max_size=12))
@example("a/../b")
@example("./a")
@example("a//b")
@example("x" * 251)
def test_keys_are_what_mlflow_takes(key):
    try:
        _validate_metric_name(key)
        theirs = bool(key) and len(key) <= 250
    except MlflowException:
        theirs = False
    try:
        names.check_key(key)
        ours = True
    except MlflowError:
        ours = False
    # re.match(..."$") lets a final line feed pass there.
    assert ours == (theirs and not key.endswith("\n"))
    if ours:
        assert names.is_key(key)


def test_metrics():
    found = names.check_metric({"key": "m", "value": "NaN", "timestamp": "12", "step": 3, "model_id": "m-1"})
    assert (found.key, found.at, found.step, found.value, found.nan, found.model) == ("m", 12, 3, 0.0, True, "m-1")
    assert names.check_metric({"key": "m", "value": "-Infinity", "timestamp": 1}).value == -math.inf
    assert names.check_metric({"key": "m", "value": 2**70, "timestamp": 1}).value == 2.0**70


@pytest.mark.parametrize("change", [
    {"key": None}, {"key": ""}, {"key": 5}, {"key": "a\0"}, {"value": None}, {"value": ""}, {"value": True}, {"value": "x"}, {"value": []}, {"value": 10**400},
    {"timestamp": None}, {"timestamp": -1}, {"timestamp": 2**63}, {"timestamp": 1.5}, {"timestamp": "1e3"}, {"step": "x"}, {"step": 2**63}, {"step": True},
    {"model_id": 5}, {"dataset_name": []},
])
def test_bad_metrics_name_the_field(change):
    with pytest.raises(MlflowError) as caught:
        names.check_metric({"key": "m", "value": 1, "timestamp": 1, **change}, "metrics[3]")
    assert "metrics[3]." in (caught.value.target or "")


def test_batches():
    names.check_batch([None] * 900, [None] * 50, [None] * 50)
    for counts in ((1001, 0, 0), (0, 101, 0), (0, 0, 101), (900, 100, 1)):
        with pytest.raises(MlflowError, match="can contain at most"):
            names.check_batch(*([None] * n for n in counts))
    with pytest.raises(MlflowError, match="Duplicate parameter keys"):
        names.check_unique_params([("a", "1"), ("b", "1"), ("a", "2")])
    assert names.pairs([{"key": "a"}, {"key": "b", "value": "x"}], "tags") == [("a", ""), ("b", "x")]
    for items in ([None], [{}], [{"key": "a", "value": 5}], [{"key": "a", "value": "x" * 1_000_001}]):
        with pytest.raises(MlflowError, match=r"params\[0\]"):
            names.pairs(items, "params")


@pytest.mark.parametrize("location", [
    "file:///etc", "/etc", "C:\\x", "..", "s3://b/../c", "s3://b/a?x=1", "s3://b#f", "s3://b/%2e%2e", "http://x/y", "runs:/a", "mlflow-artifacts:/x", "s3://", "dbfs:/x",
])
def test_artifacts_are_never_put_where_the_server_could_be_made_to_read(location):
    with pytest.raises(MlflowError, match="artifact location"):
        names.check_location(location)


def test_object_stores_are_the_clients_business():
    assert names.check_location("s3://bucket/a/b/") == "s3://bucket/a/b"
    assert names.check_location("") is None


@pytest.mark.parametrize("run", ["", None, 5, "-a", ".a", "a/b", "a b", "x" * 257, "a\0", "../a", "é"])
def test_run_ids(run):
    with pytest.raises(MlflowError):
        names.check_run_id(run)
    assert names.check_run_id("job.name-1_x") == "job.name-1_x"


def test_experiment_and_model_names():
    assert names.check_experiment_name("/Users/me/exp é") == "/Users/me/exp é"
    for bad in ("", "  ", None, 5, "x" * 501):
        with pytest.raises(MlflowError):
            names.check_experiment_name(bad)
    assert names.check_model_name(None) is None
    for bad in ("", "a/b", "a:b", "a.b", "a%", "x" * 501):
        with pytest.raises(MlflowError):
            names.check_model_name(bad)


def test_datasets():
    good = {"name": "n", "digest": "d", "source_type": "local", "source": "{}"}
    assert names.check_dataset(good, "datasets[0].dataset") == {**good, "schema": None, "profile": None}
    for change in ({"name": None}, {"digest": "x" * 37}, {"source": ""}, {"schema": 5}, {"source_type": "x" * 251}):
        with pytest.raises(MlflowError):
            names.check_dataset({**good, **change}, "datasets[0].dataset")
    with pytest.raises(MlflowError):
        names.check_dataset(None, "x")

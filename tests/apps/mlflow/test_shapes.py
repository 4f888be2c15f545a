from __future__ import annotations

import math
from types import SimpleNamespace

import pytest

from lazward.apps.mlflow import shapes
from lazward.apps.mlflow.call import Call
from lazward.storage.experiments import Experiment
from tests.storage.tracking_data import WORKSPACE


def call(plain):
    return Call(SimpleNamespace(services=SimpleNamespace(base_url="https://h:1")), WORKSPACE, plain, {}, {})  # type: ignore[arg-type]


@pytest.mark.parametrize(("value", "nan", "shown"), [(1.5, False, 1.5), (0.0, True, "NaN"), (math.inf, False, "Infinity"), (-math.inf, False, "-Infinity")])
def test_doubles_are_what_json_can_hold(value, nan, shown):
    assert shapes.double(value, nan) == shown


@pytest.mark.parametrize("milliseconds", [0, 1, 1_700_000_000_123, 4_102_444_799_999, -5])
def test_milliseconds_survive_seconds(milliseconds):
    assert shapes.milliseconds(milliseconds / 1000) == milliseconds


def test_where_artifacts_are():
    inside, outside = (Experiment(1, "e1", "n", "active", location, {}, 0.0, 0.0) for location in (None, "s3://b"))
    assert shapes.artifact_uri(call(True), "r1", inside) == "mlflow-artifacts:/r1/artifacts"
    assert shapes.artifact_uri(call(False), "r1", inside) == f"azureml://h:1{WORKSPACE}/experiments/e1/runs/r1/artifacts"
    assert shapes.artifact_uri(call(False), "r1", outside) == shapes.artifact_uri(call(True), "r1", outside) == "s3://b/r1/artifacts"

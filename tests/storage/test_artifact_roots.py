from __future__ import annotations

import pytest

from lazward.contract.mlflow import MlflowError
from lazward.storage import artifact_roots, experiments, logged_models
from tests.storage.trace_data import id_of, start
from tests.storage.tracking_data import KEY, NOW, OTHER, make_run, make_workspaces


def test_runs_and_models_lie_in_their_workspaces_account(db):
    make_workspaces(db)
    make_run(db, "r1")
    make_run(db, "r2", key=OTHER.key)
    db.write_now(logged_models.create, KEY, "m-1", "0", "n", "", "r1", {}, {}, NOW)
    db.write_now(logged_models.create, KEY, "m-2", "0", "n", "", "r1", {}, {}, NOW)
    db.write_now(logged_models.create, KEY, "m-3", "0", "n", "", "", {}, {}, NOW)
    assert db.read_now(artifact_roots.place, KEY, "r1") == ("stws", "ExperimentRun/dcid.r1")
    assert db.read_now(artifact_roots.place, KEY, "m-1") == ("stws", "ExperimentRun/dcid.r1/n")  # the first of its name lies in its run
    assert db.read_now(artifact_roots.place, KEY, "m-2") == ("stws", "ExperimentRun/dcid.m-2")
    assert db.read_now(artifact_roots.place, KEY, "m-3") == ("stws", "ExperimentRun/dcid.m-3")
    assert db.read_now(artifact_roots.place, OTHER.key, "r2") == ("stother", "ExperimentRun/dcid.r2")
    start(db, 1)
    assert db.read_now(artifact_roots.place, KEY, id_of(1)) == ("stws", f"Traces/{id_of(1)}")
    for key, root in ((OTHER.key, id_of(1)), (KEY, "r2"), (OTHER.key, "r1"), (KEY, "none"), ("/nowhere", "r1")):
        with pytest.raises(MlflowError) as caught:
            db.read_now(artifact_roots.place, key, root)
        assert caught.value.code == "RESOURCE_DOES_NOT_EXIST"


def test_what_is_kept_outside_is_not_ours(db):
    make_workspaces(db)
    made = db.write_now(experiments.create, KEY, "out", NOW, location="s3://bucket")
    make_run(db, "r1", experiment=made.id)
    with pytest.raises(MlflowError, match="s3://bucket/r1/artifacts"):
        db.read_now(artifact_roots.place, KEY, "r1")

from __future__ import annotations

import pytest

from lazward.contract.mlflow import MlflowError
from lazward.storage import experiments, runs, scorers
from tests.storage.tracking_data import KEY, NOW, OTHER, make_workspaces


@pytest.fixture(autouse=True)
def some(db):
    make_workspaces(db)


def add(db, name="s", body="{}", experiment="0", key=KEY, at=NOW):
    return db.write_now(scorers.register, key, experiment, name, body, at)


def test_versions(db):
    assert [add(db, body=f'{{"v": {index}}}').version for index in range(3)] == [1, 2, 3]
    assert add(db, "other").version == 1
    assert [one.version for one in db.read_now(scorers.versions, KEY, "0", "s")] == [1, 2, 3]
    assert (db.read_now(scorers.get, KEY, "0", "s", None).version, db.read_now(scorers.get, KEY, "0", "s", 2).body) == (3, '{"v": 1}')
    assert [(one.name, one.version) for one in db.read_now(scorers.of_experiment, KEY, "0")] == [("other", 1), ("s", 3)]
    db.write_now(scorers.delete, KEY, "0", "s", 3)
    assert db.read_now(scorers.get, KEY, "0", "s", None).version == 2
    with pytest.raises(MlflowError, match="version 3 not found"):
        db.write_now(scorers.delete, KEY, "0", "s", 3)
    db.write_now(scorers.delete, KEY, "0", "s", None)
    for call, args in ((scorers.get, (None,)), (scorers.versions, ()), (scorers.delete, (None,))):
        with pytest.raises(MlflowError, match="not found"):
            db.write_now(call, KEY, "0", "s", *args)
    assert add(db).version == 1


def test_lists_over_experiments(db):
    add(db)
    there = db.write_now(experiments.create, KEY, "e", NOW)
    add(db, "t", experiment=there.id)
    assert [one.name for one in db.read_now(scorers.newest, KEY, None)] == ["s", "t"]
    assert [one.name for one in db.read_now(scorers.newest, KEY, [there.id, "none"])] == ["t"]
    assert db.read_now(scorers.newest, KEY, []) == []
    db.write_now(experiments.delete, KEY, there.id, NOW)
    assert [one.name for one in db.read_now(scorers.newest, KEY, None)] == ["s"]
    with pytest.raises(MlflowError, match="active"):
        db.read_now(scorers.of_experiment, KEY, there.id)


def test_settings(db):
    made = add(db)
    assert db.read_now(scorers.configs, KEY, [made.id]) == []
    first = db.write_now(scorers.set_config, KEY, made.id, 0.0, "status = 'OK'")
    second = db.write_now(scorers.set_config, KEY, made.id, 0.0, None)
    assert (first.filter, first.experiment, second.filter, first.id != second.id) == ("status = 'OK'", "0", None, True)
    assert db.read_now(scorers.configs, KEY, [made.id, "none"]) == [second]
    assert db.read_now(scorers.configs, OTHER.key, [made.id]) == []


def test_s5_another_workspaces_are_as_good_as_none(db):
    add(db, key=OTHER.key)
    add(db, "mine")
    assert [one.name for one in db.read_now(scorers.newest, KEY, None)] == ["mine"]
    with pytest.raises(MlflowError, match="not found"):
        db.read_now(scorers.get, KEY, "0", "s", None)
    db.write_now(runs.delete_workspace, KEY)
    assert [one.name for one in db.read_now(scorers.newest, OTHER.key, None)] == ["s"]

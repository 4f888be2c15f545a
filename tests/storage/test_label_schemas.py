from __future__ import annotations

import pytest

from lazward.contract.mlflow import MlflowError
from lazward.storage import experiments, label_schemas
from tests.storage.tracking_data import KEY, NOW, OTHER, make_workspaces


@pytest.fixture(autouse=True)
def some(db):
    make_workspaces(db)
    db.write_now(experiments.ensure_default, KEY, NOW)


def make(db, name, input_=None, key=KEY, experiment="0"):
    return db.write_now(label_schemas.create, key, experiment, name, "FEEDBACK", input_ or {"text": {}}, None, False, "me", NOW)


def test_every_experiment_has_a_first_question(db):
    with pytest.raises(label_schemas.NoDefault):
        db.read_now(label_schemas.page, KEY, "0", 10, None)
    for _ in range(2):
        db.write_now(label_schemas.ensure_default, KEY, "0", NOW)
    (only,), _ = db.read_now(label_schemas.page, KEY, "0", 10, None)
    assert (only.name, only.is_default, only.input) == ("Feedback", True, {"text": {}})
    for call, args in ((label_schemas.update, ({"name": "x"}, NOW)), (label_schemas.delete, ())):
        with pytest.raises(MlflowError, match="default question"):
            db.write_now(call, KEY, only.id, *args)


def test_life(db):
    db.write_now(label_schemas.ensure_default, KEY, "0", NOW)
    made, other = make(db, "a", {"numeric": {"min_value": 1.0}}), make(db, "b")
    assert db.read_now(label_schemas.by_name, KEY, "0", "a").input == {"numeric": {"min_value": 1.0}}
    for call in (lambda: make(db, "a"), lambda: db.write_now(label_schemas.update, KEY, other.id, {"name": "a"}, NOW)):
        with pytest.raises(MlflowError) as caught:
            call()
        assert caught.value.code == "RESOURCE_ALREADY_EXISTS"
    changed = db.write_now(label_schemas.update, KEY, made.id, {"name": "c", "comments": True, "instruction": "i", "input": {"numeric": {}}}, NOW + 1)
    assert (changed.name, changed.comments, changed.instruction, changed.input, changed.updated) == ("c", True, "i", {"numeric": {}}, NOW + 1)
    with pytest.raises(MlflowError, match="input type"):
        db.write_now(label_schemas.update, KEY, made.id, {"input": {"text": {}}}, NOW)
    first, token = db.read_now(label_schemas.page, KEY, "0", 2, None)
    second, end = db.read_now(label_schemas.page, KEY, "0", 2, token)
    assert ([one.name for one in first + second], end) == (["b", "c", "Feedback"], None)
    db.write_now(label_schemas.delete, KEY, made.id)
    db.write_now(label_schemas.delete, KEY, made.id)
    with pytest.raises(MlflowError, match="not found"):
        db.read_now(label_schemas.get, KEY, made.id)


def test_s5_of_another_workspace_or_experiment(db):
    theirs, elsewhere = make(db, "t", key=OTHER.key), db.write_now(experiments.create, KEY, "e", NOW)
    mine = make(db, "m")
    with pytest.raises(MlflowError, match="not found"):
        db.read_now(label_schemas.get, KEY, theirs.id)
    db.write_now(label_schemas.delete, KEY, theirs.id)
    assert db.read_now(label_schemas.get, OTHER.key, theirs.id).name == "t"
    assert db.read_now(label_schemas.unknown, mine.number, [mine.id, theirs.id]) == [theirs.id]
    assert db.read_now(label_schemas.unknown, elsewhere.seq, [mine.id]) == [mine.id]

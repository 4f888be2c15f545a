from __future__ import annotations

import pytest

from lazward.contract.mlflow import MlflowError
from lazward.domain.tracking.assessments import Change
from lazward.storage import assessments, traces
from tests.storage.trace_data import id_of, said, start
from tests.storage.tracking_data import KEY, OTHER, make_workspaces

T = id_of(1)


@pytest.fixture(autouse=True)
def some(db):
    make_workspaces(db)
    start(db, 1)


def get(db, id_):
    return db.read_now(assessments.get, KEY, T, id_)


def test_life(db):
    error = {"error_code": "X"}
    made = db.write_now(assessments.create, KEY, T, said("a", {"x": [1, None]}, source_type="HUMAN", source_id="me", error=error, span="s", rationale="r", metadata={"k": "v"}))
    assert made.id.startswith("a-") and get(db, made.id) == made
    changed = db.write_now(assessments.update, KEY, T, made.id, Change(("rationale", "metadata"), rationale="q", metadata={"l": "w"}), 9)
    assert (changed.rationale, changed.metadata, changed.updated, changed.value) == ("q", {"k": "v", "l": "w"}, 9, {"x": [1, None]})
    assert get(db, made.id) == changed
    assert [a.id for a in db.read_now(traces.one, KEY, T).assessments] == [made.id]
    db.write_now(assessments.delete, KEY, T, made.id)
    db.write_now(assessments.delete, KEY, T, made.id)
    with pytest.raises(MlflowError, match="Assessment with ID"):
        get(db, made.id)


def test_overrides(db):
    first = db.write_now(assessments.create, KEY, T, said("a", 1))
    second = db.write_now(assessments.create, KEY, T, said("a", 2, overrides=first.id))
    assert (get(db, first.id).valid, get(db, second.id).valid) == (False, True)
    db.write_now(assessments.delete, KEY, T, second.id)
    assert get(db, first.id).valid
    with pytest.raises(MlflowError, match="not found for trace"):
        db.write_now(assessments.create, KEY, T, said("a", 2, overrides="a-none"))
    assert len(db.read_now(traces.one, KEY, T).assessments) == 1  # nothing of a refused one is kept


def test_ids(db):
    start(db, 2)
    mine = said("a", 1)
    mine.id = "a-1"
    db.write_now(assessments.create, KEY, T, mine)
    db.write_now(assessments.create, KEY, id_of(2), mine)
    with pytest.raises(MlflowError, match="exists already"):
        db.write_now(assessments.create, KEY, T, mine)
    for call, args in ((assessments.get, ("a-1",)), (assessments.delete, ("a-1",)), (assessments.create, (mine,)), (assessments.update, ("a-1", Change(()), 1))):
        with pytest.raises(MlflowError, match="Trace with ID"):
            (db.read_now if call is assessments.get else db.write_now)(call, OTHER.key, T, *args)


def test_those_that_come_with_their_trace_again_are_replaced(db):
    one = said("a", 1)
    one.id = "a-1"
    start(db, 1, assessments=(one, said("b", 2)))
    one.value = 3
    start(db, 1, assessments=(one,))
    assert sorted((a.name, a.value) for a in db.read_now(traces.one, KEY, T).assessments) == [("a", 3), ("b", 2)]

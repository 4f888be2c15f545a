from __future__ import annotations

import pytest

from lazward.contract.mlflow import MlflowError
from lazward.domain.genai.grammars import ISSUES
from lazward.domain.tracking.filter import parse_filter
from lazward.storage import issues
from tests.storage.tracking_data import KEY, NOW, OTHER, make_workspaces


@pytest.fixture(autouse=True)
def some(db):
    make_workspaces(db)


def make(db, name, severity=None, at=NOW, key=KEY, run=None):
    return db.write_now(issues.create, key, "0", name, "d", "pending", severity, ["cause"], [], run, "me", at)


def search(db, text=None, limit=10, token=None, experiment="0", key=KEY):
    found, token = db.read_now(issues.search, key, experiment, parse_filter(text, ISSUES), limit, token)
    return [one.name for one in found], token


def test_the_worst_first_then_the_newest(db):
    for index, (name, severity) in enumerate((("a", "low"), ("b", None), ("c", "high"), ("d", "low"), ("e", "not_an_issue"))):
        make(db, name, severity, NOW + index)
    assert search(db)[0] == ["c", "d", "a", "e", "b"]
    seen, token = [], None
    while True:
        found, token = search(db, limit=2, token=token)
        seen += found
        if not token:
            break
    assert seen == ["c", "d", "a", "e", "b"]


def test_changes_and_filters(db):
    made, other = make(db, "a", run="r1"), make(db, "b")
    changed = db.write_now(issues.update, KEY, made.id, {"status": "resolved", "severity": "high", "name": "n"}, NOW + 1)
    assert (changed.status, changed.severity, changed.name, changed.description, changed.updated, changed.root_causes) == ("resolved", "high", "n", "d", NOW + 1, ["cause"])
    assert search(db, "status = 'resolved'")[0] == ["n"] and search(db, "status != 'resolved' AND source_run_id IS NULL", experiment="")[0] == ["b"]
    assert search(db, "source_run_id = 'r1'")[0] == ["n"] and search(db, experiment="none")[0] == []
    assert db.read_now(issues.impacted, KEY, [made.id, other.id]) == {made.id: 0, other.id: 0}


def test_s5_another_workspaces_are_as_good_as_none(db):
    theirs = make(db, "t", key=OTHER.key)
    assert search(db, experiment="")[0] == []
    for call, args in ((issues.get, ()), (issues.update, ({}, NOW))):
        with pytest.raises(MlflowError, match="not found"):
            db.write_now(call, KEY, theirs.id, *args)

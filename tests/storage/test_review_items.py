from __future__ import annotations

import pytest

from lazward.contract.mlflow import MlflowError
from lazward.domain.genai.review_queues import draft
from lazward.storage import review_items, review_queues
from tests.storage.tracking_data import KEY, NOW, make_workspaces


@pytest.fixture
def queue(db) -> str:
    make_workspaces(db)
    return db.write_now(review_queues.create, KEY, "0", "CUSTOM", draft("CUSTOM", "q", [], []), "me", NOW).id


@pytest.fixture
def traces(monkeypatch):
    monkeypatch.setattr(review_items, "known_traces", lambda tx, key, experiment, ids: {one for one in ids if one.startswith("tr-")})


def listed(db, queue, status="", limit=10, token=None):
    found, token = db.read_now(review_items.page, KEY, queue, status, limit, token)
    return [one.id for one in found], token


def test_what_is_no_trace_is_not_added(db, queue):
    with pytest.raises(MlflowError, match="do not exist in experiment '0'"):
        db.write_now(review_items.add, KEY, queue, ["tr-none"], NOW)
    assert listed(db, queue)[0] == []


def test_life_of_an_item(db, queue, traces):
    first = db.write_now(review_items.add, KEY, queue, ["tr-1", "tr-2"], NOW)
    assert [(one.id, one.status) for one in first] == [("tr-1", "PENDING"), ("tr-2", "PENDING")]
    done = db.write_now(review_items.set_status, KEY, queue, "tr-1", "COMPLETE", "ann", NOW + 1)
    assert (done.completed_by, done.completed) == ("ann", NOW + 1)
    again = db.write_now(review_items.set_status, KEY, queue, "tr-1", "COMPLETE", "bob", NOW + 2)
    assert (again.completed_by, again.updated) == ("ann", NOW + 1)
    assert [one.status for one in db.write_now(review_items.add, KEY, queue, ["tr-1", "tr-3"], NOW)] == ["COMPLETE", "PENDING"]
    assert (listed(db, queue)[0], listed(db, queue, "COMPLETE")[0]) == (["tr-3", "tr-2", "tr-1"], ["tr-1"])
    declined = db.write_now(review_items.set_status, KEY, queue, "tr-1", "DECLINED", "bob", NOW + 3)
    open_again = db.write_now(review_items.set_status, KEY, queue, "tr-1", "PENDING", "bob", NOW + 4)
    assert (declined.completed_by, open_again.completed_by, open_again.completed) == ("bob", None, None)
    db.write_now(review_items.remove, KEY, queue, ["tr-1", "tr-none"])
    with pytest.raises(MlflowError, match="not attached"):
        db.write_now(review_items.set_status, KEY, queue, "tr-1", "COMPLETE", "ann", NOW)


def test_many(db, queue, traces):
    ids = [f"tr-{index}" for index in range(1200)]
    db.write_now(review_items.add, KEY, queue, ids, NOW)
    assert len(db.write_now(review_items.add, KEY, queue, ids, NOW)) == 1200
    seen, token = [], None
    while True:
        found, token = listed(db, queue, limit=500, token=token)
        seen += found
        if not token:
            break
    assert seen == ids[::-1]

from __future__ import annotations

import pytest

from lazward.contract.mlflow import MlflowError
from lazward.domain.genai.review_queues import draft
from lazward.storage import label_schemas, review_items, review_queues, runs
from tests.storage.tracking_data import KEY, NOW, OTHER, make_workspaces


@pytest.fixture(autouse=True)
def some(db, monkeypatch):
    make_workspaces(db)
    monkeypatch.setattr(review_items, "known_traces", lambda tx, key, experiment, ids: set(ids))


def make(db, name="Team", users=(), schemas=(), kind="CUSTOM", key=KEY):
    return db.write_now(review_queues.create, key, "0", kind, draft(kind, name, list(users), list(schemas)), "me", NOW)


def question(db, name, key=KEY):
    return db.write_now(label_schemas.create, key, "0", name, "FEEDBACK", {"text": {}}, None, False, None, NOW).id


def listed(db, user="", item="", limit=10, token=None):
    found, token = db.read_now(review_queues.page, KEY, "0", user, item, limit, token)
    return [one.name for one in found], token


def test_names_are_taken_once_however_they_are_spelled(db):
    made = make(db, users=["Zoe", "ann"])
    assert (made.users, made.name, made.owner) == (["ann", "zoe"], "Team", "me")
    with pytest.raises(MlflowError) as caught:
        make(db, "TEAM")
    assert caught.value.code == "RESOURCE_ALREADY_EXISTS"
    assert db.read_now(review_queues.by_name, KEY, "0", "tEAM").id == made.id
    other = make(db, "Other")
    with pytest.raises(MlflowError, match="already exists"):
        db.write_now(review_queues.update, KEY, other.id, NOW, name="team")
    assert db.write_now(review_queues.update, KEY, made.id, NOW, name="TEAM").name == "TEAM"


def test_a_users_own_queue(db):
    one = draft("USER", "Carl", [], [])
    first, again = (db.write_now(review_queues.of_user, KEY, "0", one, NOW) for _ in range(2))
    assert (first.id, first.type, first.users, first.owner) == (again.id, "USER", ["carl"], "carl")
    with pytest.raises(MlflowError, match="fixed"):
        db.write_now(review_queues.update, KEY, first.id, NOW, name="x")
    make(db, "dora")
    with pytest.raises(MlflowError, match="non-user queue"):
        db.write_now(review_queues.of_user, KEY, "0", draft("USER", "Dora", [], []), NOW)


def test_questions_are_of_the_experiment_and_stay_once_there_are_items(db):
    first, second, theirs = question(db, "a"), question(db, "b"), question(db, "c", OTHER.key)
    made = make(db, schemas=[first])
    for wrong in ("ls-none", theirs):
        with pytest.raises(MlflowError, match="not found for experiment"):
            make(db, "x", schemas=[wrong])
    assert db.write_now(review_queues.update, KEY, made.id, NOW, schemas=[second], users=["ann"], owner="Eve").schemas == [second]
    db.write_now(review_items.add, KEY, made.id, ["tr-1"], NOW)
    with pytest.raises(MlflowError, match="locked"):
        db.write_now(review_queues.update, KEY, made.id, NOW, schemas=[first])
    assert db.write_now(review_queues.update, KEY, made.id, NOW, users=[]).users == []


def test_lists(db):
    made = make(db, "a", users=["ann"])
    make(db, "b", users=["bob", "ann"])
    make(db, "c")
    db.write_now(review_items.add, KEY, made.id, ["tr-1"], NOW)
    assert (listed(db)[0], listed(db, user="ann")[0], listed(db, item="tr-1")[0]) == (["c", "b", "a"], ["b", "a"], ["a"])
    first, token = listed(db, limit=2)
    assert first + listed(db, limit=2, token=token)[0] == ["c", "b", "a"]


def test_the_end_of_a_queue(db):
    made = make(db, users=["ann"])
    db.write_now(review_items.add, KEY, made.id, ["tr-1"], NOW)
    for _ in range(2):
        db.write_now(review_queues.delete, KEY, made.id)
    assert listed(db, item="tr-1")[0] == [] and make(db).users == []
    db.write_now(runs.delete_workspace, KEY)


def test_s5_another_workspaces_are_as_good_as_none(db):
    theirs = make(db, key=OTHER.key)
    for call, args in ((review_queues.get, ()), (review_queues.update, (NOW,)), (review_items.add, (["tr-1"], NOW)), (review_items.page, ("", 5, None)), (review_items.remove, (["x"],)), (review_items.set_status, ("x", "COMPLETE", "me", NOW))):
        with pytest.raises(MlflowError, match="not found"):
            db.write_now(call, KEY, theirs.id, *args)
    db.write_now(review_queues.delete, KEY, theirs.id)
    assert db.read_now(review_queues.get, OTHER.key, theirs.id).name == "Team"

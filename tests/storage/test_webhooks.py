from __future__ import annotations

import pytest

from lazward.contract.mlflow import MlflowError
from lazward.storage import runs, secrets, webhooks
from lazward.storage.secrets import Vault
from tests.storage.tracking_data import KEY, NOW, OTHER, make_workspaces

VAULT = Vault(b"k" * 32)


@pytest.fixture(autouse=True)
def some(db):
    make_workspaces(db)


def make(db, name="w", events=("model_version.created",), secret="", key=KEY, status="ACTIVE"):
    return db.write_now(webhooks.create, key, VAULT, name, "https://a.example", list(events), None, secret, status, NOW)


def secret(db, id_, key=KEY):
    return db.read_now(webhooks.secret_of, key, VAULT, id_)


def test_life(db):
    made = make(db, secret="s3cret")
    assert secret(db, made.id) == "s3cret"
    changed = db.write_now(webhooks.update, KEY, VAULT, made.id, {"name": "n", "status": "DISABLED"}, None, NOW + 1)
    assert (changed.name, changed.status, changed.updated, changed.url, secret(db, made.id)) == ("n", "DISABLED", NOW + 1, "https://a.example", "s3cret")
    db.write_now(webhooks.update, KEY, VAULT, made.id, {}, "other", NOW)
    assert secret(db, made.id) == "other"
    db.write_now(webhooks.update, KEY, VAULT, made.id, {}, "", NOW)
    assert secret(db, made.id) is None
    db.write_now(webhooks.update, KEY, VAULT, made.id, {}, "last", NOW)
    db.write_now(webhooks.delete, KEY, VAULT, made.id)
    assert secret(db, made.id) is None and db.read_now(webhooks.find, KEY, made.id) is None
    with pytest.raises(MlflowError, match="not found"):
        db.write_now(webhooks.delete, KEY, VAULT, made.id)


def test_pages_newest_first(db):
    for index in range(5):
        make(db, f"w{index}")
    seen, token = [], None
    while True:
        found, token = db.read_now(webhooks.page, KEY, 2, token)
        seen += [one.name for one in found]
        if not token:
            break
    assert seen == ["w4", "w3", "w2", "w1", "w0"]


def test_who_listens(db):
    both = make(db, events=["model_version.created", "prompt.created"])
    make(db, status="DISABLED")
    one = make(db)
    make(db, key=OTHER.key)
    assert db.read_now(webhooks.listening, KEY, "model_version.created") == [both.id, one.id]
    assert db.read_now(webhooks.listening, KEY, "prompt.created") == [both.id]
    assert db.read_now(webhooks.listening, KEY, "prompt_tag.set") == []


def test_s5_another_workspaces_are_as_good_as_none(db):
    theirs = make(db, key=OTHER.key, secret="x")
    for call, args in ((webhooks.get, ()), (webhooks.delete, (VAULT,)), (webhooks.update, (VAULT,))):
        with pytest.raises(MlflowError, match="not found"):
            db.write_now(call, KEY, *args, theirs.id, *(({}, "y", NOW) if call is webhooks.update else ()))
    assert secret(db, theirs.id) is None
    assert secret(db, theirs.id, OTHER.key) == "x"


def test_s16_the_secret_goes_with_the_workspace_and_is_no_text_in_the_database(db):
    made = make(db, secret="very-secret-text")
    assert b"very-secret-text" not in repr(db.read_now(lambda tx: tx.execute(secrets.t.select()).all())).encode()
    db.write_now(runs.delete_workspace, KEY)
    db.write_now(secrets.forget, KEY)
    assert secret(db, made.id) is None

from __future__ import annotations

import pytest
import sqlalchemy as sa

from lazward.domain.genai.review_queues import draft
from lazward.storage import (
    eval_datasets,
    eval_records,
    experiments,
    issues,
    label_schemas,
    mcp_endpoints,
    mcp_servers,
    review_items,
    review_queues,
    runs,
    scorers,
    trash,
    webhooks,
)
from lazward.storage.genai_tables import OF_EXPERIMENTS, TABLES, WHOLES
from lazward.storage.secrets import Vault
from tests.storage.tracking_data import KEY, NOW, OTHER, make_workspaces


@pytest.fixture(autouse=True)
def some(db, monkeypatch):
    make_workspaces(db)
    monkeypatch.setattr(review_items, "known_traces", lambda tx, key, experiment, ids: set(ids))


def fill(db, key: str, experiment: str) -> str:
    """One of each; the id of the dataset."""
    dataset = db.write_now(eval_datasets.create, key, "d", {}, [experiment], NOW).id
    db.write_now(eval_records.upsert, key, dataset, [{"inputs": {}}], NOW)
    db.write_now(scorers.register, key, experiment, "s", "{}", NOW)
    db.write_now(label_schemas.create, key, experiment, "q", "FEEDBACK", {"text": {}}, None, False, None, NOW)
    queue = db.write_now(review_queues.create, key, experiment, "CUSTOM", draft("CUSTOM", "q", ["ann"], []), None, NOW).id
    db.write_now(review_items.add, key, queue, ["tr-1"], NOW)
    db.write_now(issues.create, key, experiment, "i", "d", "pending", None, [], [], None, None, NOW)
    db.write_now(webhooks.create, key, Vault(b"k" * 32), "w", "https://a.example", ["prompt.created"], None, "", "ACTIVE", NOW)
    name = f"com.example/s{experiment[:8]}"
    db.write_now(mcp_servers.create_version, key, {"name": name, "version": "1.0.0"}, "draft", None, None, None, "me", NOW)
    db.write_now(mcp_endpoints.create, key, name, "u", "sse", None, "latest", "me", NOW)
    return dataset


def counts(db) -> dict[str, int]:
    return db.read_now(lambda tx: {table.name: tx.execute(sa.select(sa.func.count()).select_from(table)).scalar_one() for table in TABLES})


def test_every_table_goes_with_its_workspace(db):
    for key in (KEY, OTHER.key):
        fill(db, key, "0")
    assert set(counts(db).values()) == {2}, "what is new is in fill(), too"
    db.write_now(runs.delete_workspace, KEY)
    assert set(counts(db).values()) == {1}
    db.write_now(runs.delete_workspace, OTHER.key)
    assert set(counts(db).values()) == {0}


def test_what_is_of_an_experiment_goes_when_it_leaves_the_bin_for_good(db):
    gone, stays = (db.write_now(experiments.create, KEY, name, NOW) for name in ("gone", "stays"))
    dataset = fill(db, KEY, gone.id)
    fill(db, KEY, stays.id)
    theirs = fill(db, OTHER.key, "0")
    db.write_now(eval_datasets.add_experiments, KEY, dataset, [stays.id], NOW)
    db.write_now(experiments.delete, KEY, gone.id, NOW)
    assert counts(db)["scorer"] == 3  # it can still be restored
    db.write_now(trash.claim, KEY, experiment_ids=[gone.id])
    db.write_now(trash.drop_experiments, KEY)
    after = counts(db)
    assert {table.name: after[table.name] for table in WHOLES} == {table.name: 2 if table in OF_EXPERIMENTS else 3 for table in WHOLES}
    assert (after["scorer_version"], after["review_queue_user"], after["review_queue_item"], after["eval_record"]) == (2, 2, 2, 3)
    assert db.read_now(eval_datasets.get, KEY, dataset).experiments == [stays.id]
    assert db.read_now(eval_datasets.get, OTHER.key, theirs).experiments == ["0"]

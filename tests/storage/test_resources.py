from __future__ import annotations

import pytest

from lazward.contract.ids import parse
from lazward.storage import resources
from lazward.storage.db import Database, Tx

WORKSPACE = "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces"
TYPE = "microsoft.machinelearningservices/workspaces/jobs"


def put(tx: Tx, *names: str, workspace: str = "w", archived: bool = False, lookup: str | None = None) -> None:
    for name in names:
        resources.insert(tx, parse(f"{WORKSPACE}/{workspace}/jobs/{name}"), {"properties": {"n": name}}, 1.0, archived=archived, lookup=lookup)


def names(rows: list[resources.Row]) -> list[str]:
    return [row.name for row in rows]


def test_a_row_comes_back_as_it_was_written(db: Database) -> None:
    def work(tx: Tx) -> None:
        put(tx, "Mixed")
        row = resources.get(tx, f"{WORKSPACE}/W/JOBS/mixed")
        assert row is not None
        assert (row.name, row.type, row.parent, row.doc) == ("Mixed", TYPE, f"{WORKSPACE}/w".lower(), {"properties": {"n": "Mixed"}})
        before = row.etag
        row.properties["n"], row.lookup, row.archived = "new", "found", True
        resources.update(tx, row, 2.0)
        again = resources.get(tx, row.key)
        assert again == row
        assert again.etag != before and (again.created, again.updated) == (1.0, 2.0)
        assert resources.by_lookup(tx, [TYPE], "found") == row
        assert resources.by_lookup(tx, ["another/type"], "found") is None
        assert (resources.exists(tx, row.key), resources.exists(tx, row.key + "x")) == (True, False)

    db.write_now(work)


@pytest.mark.parametrize(("near", "key"), [("a_b", "aXb"), ("ab", "abc"), ("a.b", "aXb"), ("a-b", "a_b")])
def test_only_what_lies_below_goes_with_a_resource(db: Database, near: str, key: str) -> None:
    """No character of a name stands for others."""

    def work(tx: Tx) -> None:
        put(tx, "j", workspace=near)
        put(tx, "j", workspace=key)
        assert names(resources.every(tx, TYPE, under=f"{WORKSPACE}/{near}")) == ["j"]
        resources.delete(tx, f"{WORKSPACE}/{near}")
        assert [row.parent for row in resources.every(tx, TYPE)] == [f"{WORKSPACE}/{key}".lower()]

    db.write_now(work)


def test_pages_go_on_where_the_last_one_ended_in_both_orders(db: Database) -> None:
    def work(tx: Tx) -> None:
        put(tx, "a", "b", "c")
        put(tx, "other", workspace="v")
        put(tx, "gone", archived=True, lookup="l")
        of = {"parent": f"{WORKSPACE}/W", "archived": False}
        first, after = resources.page(tx, TYPE, 2, **of)
        assert names(first) == ["a", "b"]
        last, end = resources.page(tx, TYPE, 2, **of, after=after)
        assert (names(last), end) == (["c"], None)
        newest, after = resources.page(tx, TYPE, 2, **of, newest_first=True)
        assert names(newest) == ["c", "b"]
        assert names(resources.page(tx, TYPE, 2, **of, newest_first=True, after=after)[0]) == ["a"]
        assert names(resources.every(tx, TYPE, lookup="l")) == ["gone"]
        assert names(resources.every(tx, TYPE, scope=f"{WORKSPACE}/v")) == ["other"]
        assert names(resources.every(tx, TYPE, keep=lambda row: row.name in "ac")) == ["a", "c"]

    db.write_now(work)


def test_renaming_moves_what_lies_below_and_nothing_near(db: Database) -> None:
    def work(tx: Tx) -> None:
        put(tx, "a", "a_b", "z")
        for name in ("a/parts/One", "a_b/parts/One"):
            resources.insert(tx, parse(f"{WORKSPACE}/w/jobs/{name}"), {"properties": {}}, 1.0)
        row = resources.get(tx, f"{WORKSPACE}/w/jobs/a")
        assert row is not None
        resources.rename(tx, row, parse(f"{WORKSPACE}/w/jobs/New"), 2.0)
        assert names(resources.every(tx, TYPE)) == ["New", "a_b", "z"]  # in the order of creation
        part = resources.get(tx, f"{WORKSPACE}/w/jobs/new/parts/one")
        assert part is not None
        assert (part.id, part.parent, part.updated) == (f"{WORKSPACE}/w/jobs/New/parts/One", f"{WORKSPACE}/w/jobs/new".lower(), 2.0)
        assert not resources.exists(tx, f"{WORKSPACE}/w/jobs/a") and not resources.exists(tx, f"{WORKSPACE}/w/jobs/a/parts/one")
        assert resources.exists(tx, f"{WORKSPACE}/w/jobs/a_b/parts/one")

    db.write_now(work)


def test_what_lies_directly_below_several(db: Database) -> None:
    def work(tx: Tx) -> None:
        for name in ("b", "a", "c"):
            put(tx, name)
            resources.insert(tx, parse(f"{WORKSPACE}/w/jobs/{name}/parts/p{name}"), {"properties": {}}, 1.0)
        put(tx, "gone")
        resources.insert(tx, parse(f"{WORKSPACE}/w/jobs/a/parts/old"), {"properties": {}}, 1.0, archived=True)
        many = [f"{WORKSPACE}/w/jobs/none{index}" for index in range(1200)]
        found = resources.below(tx, TYPE + "/parts", [*many, f"{WORKSPACE}/W/JOBS/A", f"{WORKSPACE}/w/jobs/b"])
        assert names(found) == ["pb", "pa"]
        assert resources.below(tx, TYPE + "/parts", []) == []

    db.write_now(work)

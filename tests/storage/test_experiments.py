from __future__ import annotations

import pytest

from lazward.contract.mlflow import MlflowError
from lazward.domain.tracking.filter import EXPERIMENTS, parse_filter, parse_orders
from lazward.storage import experiments, runs
from lazward.storage.experiments import DefaultMissing
from tests.storage.tracking_data import KEY, NOW, OTHER, make_run, make_workspaces


@pytest.fixture(autouse=True)
def workspaces(db):
    make_workspaces(db)


def names(db, text=None, orders=(), stages=("active",), limit=1000, token=None):
    found, token = db.read_now(
        experiments.search, KEY, stages, parse_filter(text, EXPERIMENTS), parse_orders(list(orders), EXPERIMENTS), limit, token
    )
    return [e.name for e in found], token


class TestDefault:
    def test_every_workspace_has_its_own_zero(self, db):
        mine = db.write_now(experiments.ensure_default, KEY, NOW)
        theirs = db.write_now(experiments.ensure_default, OTHER.key, NOW)
        assert (mine.id, mine.name) == (theirs.id, theirs.name) == ("0", "Default")
        assert mine.seq != theirs.seq
        assert db.write_now(experiments.ensure_default, KEY, NOW).seq == mine.seq

    def test_readers_say_when_it_is_missing(self, db):
        for fn, args in ((experiments.get, ("0",)), (experiments.by_name, ("Default",)), (experiments.search, (("active",), None, [], 10, None))):
            with pytest.raises(DefaultMissing):
                db.read_now(fn, KEY, *args)

    def test_creating_default_by_name_is_creating_it_twice(self, db):
        with pytest.raises(MlflowError, match="already exists"):
            db.write_now(experiments.create, KEY, "Default", NOW)


class TestCreate:
    def test_a_name_is_taken_even_in_the_bin(self, db):
        made = db.write_now(experiments.create, KEY, "a", NOW, tags={"x": "1"})
        db.write_now(experiments.delete, KEY, made.id, NOW + 1)
        with pytest.raises(MlflowError) as caught:
            db.write_now(experiments.create, KEY, "a", NOW)
        assert caught.value.code == "RESOURCE_ALREADY_EXISTS"
        assert db.write_now(experiments.create, OTHER.key, "a", NOW).id != made.id

    def test_no_workspace_no_experiment(self, db):
        for call in (lambda: db.write_now(experiments.create, "/nowhere", "a", NOW), lambda: db.read_now(experiments.get, "/nowhere", "0")):
            with pytest.raises(MlflowError, match="workspace 'nowhere' was not found"):
                call()

    def test_ids_do_not_reach_into_other_workspaces(self, db):
        made = db.write_now(experiments.create, OTHER.key, "secret", NOW)
        for fn, args in ((experiments.get, ()), (experiments.restore, (NOW,)), (experiments.set_tag, ("a", "b", NOW)), (experiments.delete, (NOW,))):
            with pytest.raises(MlflowError) as caught:
                db.write_now(fn, KEY, made.id, *args)
            assert caught.value.code == "RESOURCE_DOES_NOT_EXIST"


class TestLife:
    def test_runs_go_into_the_bin_and_out_with_it(self, db):
        made = db.write_now(experiments.create, KEY, "a", NOW)
        make_run(db, "r1", experiment=made.id)
        db.write_now(experiments.delete, KEY, made.id, NOW)
        assert db.read_now(runs.get, KEY, "r1").stage == "deleted"
        with pytest.raises(MlflowError, match="No Experiment"):
            db.write_now(experiments.delete, KEY, made.id, NOW)
        with pytest.raises(MlflowError, match="active"):
            make_run(db, "r2", experiment=made.id)
        db.write_now(experiments.restore, KEY, made.id, NOW)
        assert db.read_now(runs.get, KEY, "r1").stage == "active"
        with pytest.raises(MlflowError, match="No Experiment"):
            db.write_now(experiments.restore, KEY, made.id, NOW)

    def test_rename(self, db):
        made, other = (db.write_now(experiments.create, KEY, n, NOW) for n in "ab")
        with pytest.raises(MlflowError) as caught:
            db.write_now(experiments.rename, KEY, made.id, "b", NOW)
        assert caught.value.code == "RESOURCE_ALREADY_EXISTS"
        db.write_now(experiments.rename, KEY, made.id, "c", NOW + 5)
        found = db.read_now(experiments.by_name, KEY, "c")
        assert (found.id, found.updated) == (made.id, NOW + 5)
        db.write_now(experiments.delete, KEY, other.id, NOW)
        with pytest.raises(MlflowError, match="non-active"):
            db.write_now(experiments.rename, KEY, other.id, "d", NOW)

    def test_a_job_takes_its_experiment_out_of_the_bin(self, db):
        made = db.write_now(experiments.create, KEY, "a", NOW)
        db.write_now(experiments.delete, KEY, made.id, NOW)
        assert db.write_now(experiments.for_job, KEY, "a", NOW).id == made.id
        assert db.read_now(experiments.get, KEY, made.id).stage == "active"
        assert db.write_now(experiments.for_job, KEY, "Default", NOW).id == "0"

    def test_tags(self, db):
        made = db.write_now(experiments.create, KEY, "a", NOW)
        db.write_now(experiments.set_tag, KEY, made.id, "k", "v", NOW)
        db.write_now(experiments.set_tag, KEY, made.id, "k", "w", NOW)
        assert db.read_now(experiments.get, KEY, made.id).tags == {"k": "w"}
        db.write_now(experiments.delete_tag, KEY, made.id, "k", NOW)
        with pytest.raises(MlflowError, match="No tag"):
            db.write_now(experiments.delete_tag, KEY, made.id, "k", NOW)


class TestSearch:
    @pytest.fixture(autouse=True)
    def some(self, db):
        db.write_now(experiments.ensure_default, KEY, NOW - 1)
        for index, name in enumerate(("alpha", "Beta", "gamma_1", "gammaX1")):
            db.write_now(experiments.create, KEY, name, NOW + index, tags={"team": name[0], "k.x": "1"} if index % 2 else {})
        db.write_now(experiments.create, OTHER.key, "foreign", NOW)

    def test_newest_first_and_only_mine(self, db):
        assert names(db)[0] == ["gammaX1", "gamma_1", "Beta", "alpha", "Default"]

    @pytest.mark.parametrize(("text", "expected"), [
        ("name = 'Beta'", {"Beta"}), ("name LIKE 'gamma%'", {"gamma_1", "gammaX1"}), ("name LIKE 'GAMMA%'", set()), ("name ILIKE 'GAMMA%'", {"gamma_1", "gammaX1"}),
        ("name LIKE 'gamma_1'", {"gamma_1", "gammaX1"}), ("tags.team = 'B'", {"Beta"}), ("tags.team IS NULL", {"alpha", "gamma_1", "Default"}),
        ("tags.`k.x` = '1' AND NOT tags.team = 'B'", {"gammaX1"}), ("tags.`a\"b` = 'x'", set()), ("tags.team != 'B'", {"gammaX1"}),
        (f"creation_time >= {int((NOW + 2) * 1000)}", {"gamma_1", "gammaX1"}), ("experiment_id = '0'", {"Default"}), ("name IN ('alpha', 'foreign')", {"alpha"}),
        ("name LIKE 'g[a]%'", set()), ("name LIKE '\\'", set()), ("name = 'x' OR name = 'alpha'", {"alpha"}),
    ])
    def test_filters(self, db, text, expected):
        assert set(names(db, text)[0]) == expected

    def test_pages_meet_everything_once(self, db):
        seen, token = [], None
        while True:
            page, token = names(db, orders=["name DESC"], limit=2, token=token)
            seen += page
            if not token:
                break
        assert seen == sorted(["gammaX1", "gamma_1", "Beta", "alpha", "Default"], reverse=True)

    @pytest.mark.parametrize("token", ["x", "W10=", "WzFd", "W1swLCJhIl0sWzAsImEiXV0=", "é"])
    def test_foreign_tokens_are_refused(self, db, token):
        with pytest.raises(MlflowError, match="page token"):
            names(db, token=token)

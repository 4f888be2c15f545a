"""A workspace exported and imported into another: the same by all of MLflow's calls, however often, and whatever was killed."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from lazward.cli.moving.archive_file import Archive, Writer
from lazward.cli.moving.intake import Done, Intake
from lazward.cli.moving.outgoing import Outgoing
from lazward.cli.moving.source import File
from lazward.contract.mlflow import MlflowError
from lazward.domain.tracking.moved import Experiment, Parts, Run, RunEnd, Trace, Values
from lazward.storage import trash
from lazward.storage.moving import read, rows
from tests.cli.moving.filled import Tracking
from tests.control_plane import Plane


def made(plane: Plane) -> Tracking:
    workspace = plane.workspace()
    plane.settle()
    return Tracking(plane, workspace)


def export(plane: Plane, key: str, path: Path, *chosen: str, artifacts: bool = True) -> Path:
    outgoing = Outgoing(plane.db, plane.chain.services.blobs, key, chosen)
    with Writer(path, {"totals": outgoing.totals()}) as writer:
        outgoing.write(writer, artifacts)
    assert outgoing.skipped == []
    return path


def take(plane: Plane, key: str, path: Path, **how: Any) -> Done:
    return Intake(plane.db, plane.chain.services.blobs, plane.chain.services.settings, key, **how).take(Archive(path))


@pytest.fixture
def source(plane):
    tracking = made(plane)
    tracking.ids = tracking.fill()
    return tracking


@pytest.mark.parametrize("name", ["all.tar", "all.tar.gz"])
def test_all_of_it_comes_and_a_repeat_does_nothing(plane, source, tmp_path, name):
    file, target = export(plane, source.key, tmp_path / name), made(plane)
    done = take(plane, target.key, file)
    assert done.refused == []
    assert (done.made["runs"], done.made["logged models"], done.made["model versions"], done.made["traces"], done.values) == (3, 2, 3, 1, 1894)
    there, here = source.seen(), target.seen()
    assert here.keys() == there.keys()
    for what, told in there.items():
        assert here[what] == told, what
    before = plane.dump()
    again = take(plane, target.key, file)
    assert (again.made, again.refused, again.values) == ({}, [], 0)
    assert again.same["files"] == done.made["files"] and plane.dump() == before
    home = take(plane, source.key, file)
    assert (home.made, home.refused) == ({}, []) and plane.dump() == before


def test_other_content_is_refused_and_stays(plane, source, tmp_path):
    file, target = export(plane, source.key, tmp_path / "a.tar"), made(plane)
    take(plane, target.key, file)
    ids = source.ids
    target.post("runs/set-tag", run_id=ids["run"], key="note", value="mine")
    target.post(f"logged-models/{ids['other']}/tags", method="PATCH", model_id=ids["other"], tags=[{"key": "a", "value": "b"}])
    target.post("registered-models/set-tag", name="net", key="k", value="mine")
    target.post("model-versions/update", name="net", version="1", description="mine", method="PATCH")
    target.put_file(ids["parent"], "x.txt", b"only here")
    source.put_file(ids["parent"], "x.txt", b"only-here")
    before = plane.dump()
    done = take(plane, target.key, export(plane, source.key, tmp_path / "b.tar"))
    assert sorted(what for what, _ in done.refused) == sorted([
        f"run {ids['run']}", f"logged model {ids['other']}", "registered model 'net'", "version 1 of the model 'net'", f"file x.txt of the run {ids['parent']}",
    ])
    assert done.made == {} and plane.dump() == before


def test_experiments_meet_by_name_and_ids_that_are_taken_change(plane, source, tmp_path):
    file, target = export(plane, source.key, tmp_path / "a.tar"), made(plane)
    mine = target.post("experiments/create", name="vision", tags=[{"key": "own", "value": "1"}])["experiment_id"]
    done = take(plane, target.key, file)
    assert done.moved_experiments == {source.ids["experiment"]: mine}
    shown = target.get("experiments/get", experiment_id=mine)["experiment"]
    assert {t["key"]: t["value"] for t in shown["tags"]} == {"own": "1", "team": "red"}
    assert target.get("runs/get", run_id=source.ids["run"])["run"]["info"]["experiment_id"] == mine
    again = take(plane, target.key, file)
    assert (again.made, again.refused) == ({}, [])


def test_a_prefix_keeps_names_apart(plane, source, tmp_path):
    file, target = export(plane, source.key, tmp_path / "a.tar"), made(plane)
    target.post("registered-models/create", name="net")
    done = take(plane, target.key, file, prefix="old-")
    assert done.refused == []
    found = {e["name"] for e in target.get("experiments/search", max_results=10)["experiments"]}
    assert {"old-vision", "old-Default", "Default"} <= found
    assert target.get("registered-models/get", name="old-net")["registered_model"]["aliases"] == [{"alias": "champion", "version": "2"}]


def test_only_what_was_chosen(plane, source, tmp_path):
    other = source.post("experiments/create", name="second")["experiment_id"]
    run = source.run(other)
    source.put_file(run, "f", b"f")
    target = made(plane)
    done = take(plane, target.key, export(plane, source.key, tmp_path / "a.tar", "second", artifacts=False))
    assert done.made == {"experiments": 1, "runs": 1} and target.files(run) == {}
    assert take(plane, target.key, export(plane, source.key, tmp_path / "b.tar", "second")).made == {"files": 1}
    done = take(plane, made(plane).key, export(plane, source.key, tmp_path / "c.tar", "vision"))
    assert (done.made["registered models"], done.made["model versions"], done.made["runs"]) == (1, 2, 2)


def test_what_was_begun_from_another_record_goes_first(plane, source, tmp_path):
    """A run of the same id, left in the middle by an import of other content."""
    first, target = export(plane, source.key, tmp_path / "a.tar"), made(plane)
    intake = Intake(plane.db, plane.chain.services.blobs, plane.chain.services.settings, target.key)

    class Stopped(Exception):
        pass

    class Half:
        def items(self):
            for item in Archive(first).items():
                if isinstance(item, RunEnd) and item.id == source.ids["run"]:
                    raise Stopped
                yield item

    with pytest.raises(Stopped):
        intake.take(Half())
    intake._flush()
    assert source.ids["run"] not in [r["info"]["run_id"] for r in target.post("runs/search", experiment_ids=[source.ids["experiment"]], max_results=9).get("runs", [])]
    source.post("runs/set-tag", run_id=source.ids["run"], key="later", value="1")
    done = take(plane, target.key, export(plane, source.key, tmp_path / "b.tar"))
    assert done.refused == []
    assert target.seen() == source.seen()


@pytest.mark.parametrize("bad", [
    Values("b", [("m", 1, 1, "many")]), Values("b", [("a/../b", 1, 1, 1.0)]), Values("b", [("m", 2**64, 1, 1.0)]),
], ids=["value", "key", "time"])
def test_a_run_that_cannot_be_filled_is_none(plane, bad):
    target = made(plane)
    experiment = Experiment("5", "e", "active", None, {}, 1.0, 2.0)
    run = Run("b", "5", "n", "FINISHED", "active", "u", None, 1.0, 2.0, None, {}, {}, [], {}, None)
    good = msgspec.structs.replace(run, id="g")
    items = [experiment, run, Values("b", [("m", 1, 1, 1.0)]), bad, RunEnd("b"), good, RunEnd("g"), File("run", "b", "f", 1, lambda: iter([b"f"]))]

    class Listed:
        def items(self):
            return iter(items)

    done = Intake(plane.db, plane.chain.services.blobs, plane.chain.services.settings, target.key).take(Listed())
    assert [what for what, _ in done.refused] == ["values of the run b"] and done.made == {"experiments": 1, "runs": 1}
    assert plane.db.read_now(read.run, target.key, "b") is None


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../b", "a//b", "%2e%2e/x", "a\\b", "x\n", "C:/x", "."])
@pytest.mark.parametrize("owner, id_", [("run", "g"), ("run", "../g"), ("upload", "a/b")])
def test_no_path_of_the_file_becomes_another(plane, owner, id_, path):
    """S3, and blobs of others."""
    target = made(plane)
    items = [
        Experiment("5", "e", "active", None, {}, 1.0, 2.0), Run("g", "5", "n", "FINISHED", "active", "u", None, 1.0, 2.0, None, {}, {}, [], {}, None), RunEnd("g"),
        File(owner, id_, path, 1, lambda: iter([b"f"])),
    ]

    class Listed:
        def items(self):
            return iter(items)

    done = Intake(plane.db, plane.chain.services.blobs, plane.chain.services.settings, target.key).take(Listed())
    assert done.refused_count == 1 and "files" not in done.made


def test_an_experiment_that_is_in_the_bin_here_is_not_filled(plane, source, tmp_path):
    file, target = export(plane, source.key, tmp_path / "a.tar"), made(plane)
    mine = target.post("experiments/create", name="vision")["experiment_id"]
    target.post("experiments/delete", experiment_id=mine)
    done = take(plane, target.key, file)
    assert done.refused[0][0] == "experiment 'vision'" and f"lazward trash restore {mine}" in done.refused[0][1]
    assert done.made["runs"] == 1 and target.files(source.ids["gone"]) == {}
    target.post("experiments/restore", experiment_id=mine)
    done = take(plane, target.key, file)
    assert done.refused == [] and done.made["runs"] == 2


def test_what_was_deleted_long_ago_is_in_the_bin_from_now_on(plane, tmp_path):
    target = made(plane)
    items = [
        Experiment("5", "e", "active", None, {}, 1.0, 2.0), Experiment("6", "f", "deleted", None, {}, 1.0, 2.0),
        Run("b", "5", "n", "FINISHED", "deleted", "u", None, 1.0, 2.0, 3.0, {}, {}, [], {}, None), RunEnd("b"),
    ]

    class Listed:
        def items(self):
            return iter(items)

    for _ in range(2):
        done = Intake(plane.db, plane.chain.services.blobs, plane.chain.services.settings, target.key).take(Listed())
        assert done.refused == []
    found, _ = plane.db.read_now(trash.listed, target.key, 10)
    assert sorted(item.id for item in found) == ["6", "b"] and all(time.time() - item.deleted < 3600 for item in found)


@pytest.mark.parametrize("path, files", [
    ("models/mine", {"models/mine/MLmodel": b"a", "models/mine/data/w.bin": b"b" * 3_000_000}), ("one.pkl", {"one.pkl": b"c"}),
], ids=["folder", "file"])
def test_files_beside_any_run_come_along_and_their_neighbours_do_not(plane, tmp_path, path, files):
    """A model that the SDK registered from files of its own."""
    source, target, blobs = made(plane), made(plane), plane.chain.services.blobs
    facts = plane.get(f"{source.workspace}/datastores/workspaceblobstore")["properties"]
    account, container = facts["accountName"].rsplit("/", 1)[-1], facts["containerName"]
    plane.runner.run(blobs.ensure_container(account, container))
    for name, data in {**files, "models/mine-not": b"x", "one.pkl2": b"x", "other/secret": b"x"}.items():
        plane.runner.run(blobs.put(account, container, name, data))
    uri = f"azureml://datastores/workspaceblobstore/paths/{path}"
    plane.put(f"{source.workspace}/models/own/versions/3", {"properties": {"modelUri": uri, "modelType": "custom_model", "tags": {"a": "b"}, "description": "d"}})
    plane.put(f"{source.workspace}/models/far/versions/x", {"properties": {"modelUri": "https://example.org/model.pkl", "modelType": "custom_model"}})
    file = export(plane, source.key, tmp_path / "a.tar")
    for _ in range(2):
        done = take(plane, target.key, file)
        assert done.refused == []
    there, here = (plane.get(f"{t.workspace}/models/own/versions/3")["properties"] for t in (source, target))
    assert {**here, "modelUri": ""} == {**there, "modelUri": ""} and source.workspace not in here["modelUri"]
    assert plane.get(f"{target.workspace}/models/far/versions/x")["properties"]["modelUri"] == "https://example.org/model.pkl"
    account, container, place = plane.runner.run(plane.chain.services.models.place(target.key, "own", "3"))
    inside = plane.runner.run(blobs.list(account, container, prefix=place.rpartition("/")[0] + "/")).blobs
    cut = len(place) - len(path.rpartition("/")[2])
    found = {blob.name[cut:]: plane.runner.run(blobs.read_all(account, container, blob.name)) for blob in inside}
    skip = len(path.rpartition("/")[0]) + 1 if "/" in path else 0
    assert found == {name[skip:]: data for name, data in files.items()}
    assert take(plane, source.key, export(plane, target.key, tmp_path / "b.tar")).refused == []


def test_what_the_database_does_not_take_is_refused_alone(plane):
    """PostgreSQL's JSON holds no NUL; SQLite's does."""
    target = made(plane)

    def trace(id_: str, **more: Any) -> Trace:
        facts = {"at": 1, "duration": 1, "state": "OK", "client_id": None, "name": "n", "session": None, "usage": None, "cost": None, "tags": {}, "metadata": {}, "request": None, "response": None}
        return Trace(id_, "5", {**facts, **more}, [], [], [])

    items = [
        Experiment("5", "e", "active", None, {}, 1.0, 2.0), trace("tr-1"), trace("tr-2", tags={"a": "\0"}), trace("tr-3"), trace("tr-4", at=None), trace("tr-5", seq=1),
        trace("tr-6"),
    ]

    class Listed:
        def items(self):
            return iter(items)

    done = Intake(plane.db, plane.chain.services.blobs, plane.chain.services.settings, target.key).take(Listed())
    wanted = ["trace tr-2"] * (plane.kind == "postgres") + ["trace tr-4", "trace tr-5"]
    assert [what for what, _ in done.refused] == wanted
    assert done.made["traces"] == 6 - len(wanted)


@pytest.mark.parametrize(("facts", "path"), [({"version": "one"}, "rows.version"), ({"doc": "{"}, "rows.doc"), ({"doc": "{}"}, "server_json"), ({"doc": None}, "rows.doc"), ({"tools": "{}"}, "tools"), ({"status": "x"}, "status")])
def test_a_version_of_a_server_that_nobody_could_read_is_refused(plane, facts, path):
    doc = '{"name": "com.example/tool", "version": "1.0.0"}'
    row = {"version": "1.0.0", "status": "draft", "doc": doc, "tools": None, "connect_options": None, "source": None, "tags": {}, "created": 1.0, "updated": 1.0, "created_by": None, "updated_by": None}
    plane.db.write_now(rows.write_parts, 1, Parts("mcp_server", "com.example/tool", "mcp_version", [row]), {})
    with pytest.raises(MlflowError, match=path):
        plane.db.write_now(rows.write_parts, 2, Parts("mcp_server", "com.example/tool", "mcp_version", [{**row, **facts}]), {})

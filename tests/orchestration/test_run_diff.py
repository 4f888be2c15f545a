from __future__ import annotations

import pytest

from lazward.contract.errors import ArmError
from lazward.orchestration import run_diff
from lazward.orchestration.run_diff import check_request, compare
from lazward.storage import resources, runs
from tests.orchestration.place import HOME
from tests.orchestration.test_run_code import keep, plain_run


async def diff(place, left: str, right: str) -> dict:
    workspace = place.db.read_now(resources.get, HOME)
    return await compare(place.db, place.blobs, workspace, left, right)


async def jobs(place, left: dict[str, str], right: dict[str, str], **more) -> dict:
    for name, files in (("a", left), ("b", right)):
        place.job(name, "python train.py", codeId=await place.code(f"code-{name}", files), **more.get(name, {}))
    return await diff(place, "a", "b")


class TestCode:
    async def test_a_line_is_another(self, place):
        found = await jobs(place, {"train.py": "a\nb\nc\n", "same.py": "x\n"}, {"train.py": "a\nB\nc\n", "same.py": "x\n"})
        assert found["code"] == {
            "comparable": True, "why": "", "identical": False, "of": "files", "truncated": False, "added": [], "removed": [], "changed": ["train.py"], "notShown": [],
            "diff": "--- a/train.py\n+++ b/train.py\n@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n",
        }
        assert (found["left"]["name"], found["right"]["name"], found["left"]["codeKind"]) == ("a", "b", "asset")

    async def test_files_come_and_go(self, place):
        found = (await jobs(place, {"old.py": "x\n"}, {"sub/new.py": "y\n"}))["code"]
        assert (found["added"], found["removed"], found["changed"]) == (["sub/new.py"], ["old.py"], [])
        assert "--- a/old.py\n+++ /dev/null\n@@ -1,1 +0,0 @@\n-x\n" in found["diff"]
        assert "--- /dev/null\n+++ b/sub/new.py\n@@ -0,0 +1,1 @@\n+y\n" in found["diff"]

    async def test_the_same_files_under_another_name(self, place):
        found = (await jobs(place, {"train.py": "x"}, {"train.py": "x"}))["code"]
        assert (found["identical"], found["diff"]) == (True, "")

    async def test_the_same_asset_is_not_read(self, place, monkeypatch):
        code = await place.code("c", {"train.py": "x"})
        for name in ("a", "b"):
            place.job(name, "true", codeId=code)
        monkeypatch.setattr(run_diff, "_compare_files", None)
        assert (await diff(place, "a", "b"))["code"]["identical"] is True

    async def test_what_is_no_text_or_too_large_is_named(self, place, monkeypatch):
        monkeypatch.setattr(run_diff, "MAX_FILE", 100)
        found = (await jobs(place, {"x.bin": "a\0b", "big.txt": "x" * 200}, {"x.bin": "a\0c", "big.txt": "x" * 201}))["code"]
        assert found["changed"] == ["big.txt", "x.bin"]
        assert [entry["path"] for entry in found["notShown"]] == ["big.txt", "x.bin"]
        assert (found["diff"], found["identical"], found["truncated"]) == ("", False, False)

    async def test_a_diff_has_an_end(self, place, monkeypatch):
        monkeypatch.setattr(run_diff, "MAX_DIFF", 100)
        found = (await jobs(place, {f"{i}.py": "x\n" * 30 for i in range(4)}, {f"{i}.py": "y\n" * 30 for i in range(4)}))["code"]
        assert found["truncated"] is True
        assert found["changed"] == ["0.py", "1.py", "2.py", "3.py"]
        assert len(found["diff"]) <= 100 and found["diff"].endswith("\n")
        assert {entry["path"] for entry in found["notShown"]} == {"0.py", "1.py", "2.py", "3.py"}

    async def test_no_more_is_read_than_fits(self, place, monkeypatch):
        monkeypatch.setattr(run_diff, "MAX_READ", 1)
        found = (await jobs(place, {"a.py": "x\n", "b.py": "x\n"}, {"a.py": "y\n", "b.py": "y\n"}))["code"]
        assert found["changed"] == ["a.py"]
        assert [entry["path"] for entry in found["notShown"]] == ["b.py"]


class TestRunsFromElsewhere:
    async def test_snapshots_and_a_job(self, place):
        plain_run(place, "r")
        await keep(place, "r", "source/snapshot/train.py", b"a\n")
        place.job("j", "true", codeId=await place.code("c", {"train.py": "b\n"}))
        found = await diff(place, "r", "j")
        assert found["code"]["changed"] == ["train.py"]
        assert [found[side]["isJob"] for side in ("left", "right")] == [False, True]

    async def test_patches_of_one_commit(self, place):
        for name, text in (("r1", "+x\n"), ("r2", "+y\n")):
            plain_run(place, name, **{"mlflow.source.git.commit": "c0ffee"})
            await keep(place, name, "source/diff.patch", text.encode())
        found = await diff(place, "r1", "r2")
        assert (found["code"]["of"], found["code"]["why"]) == ("patches", "")
        assert "-+x\n++y\n" in found["code"]["diff"]
        assert found["left"]["git"] == {"commit": "c0ffee"}

    async def test_patches_of_different_commits_say_so(self, place):
        for name in ("r1", "r2"):
            plain_run(place, name, **{"mlflow.source.git.commit": name})
            await keep(place, name, "source/diff.patch", b"+x\n")
        found = (await diff(place, "r1", "r2"))["code"]
        assert "r1 and r2" in found["why"]

    async def test_what_cannot_be_compared_says_why(self, place):
        plain_run(place, "r1")
        plain_run(place, "r2")
        await keep(place, "r1", "source/snapshot/a", b"1")
        assert "'r2' cannot be compared" in (await diff(place, "r1", "r2"))["code"]["why"]
        await keep(place, "r2", "source/diff.patch", b"+x\n")
        found = (await diff(place, "r1", "r2"))["code"]
        assert (found["comparable"], found["identical"]) == (False, None)
        assert "all files" in found["why"]


async def test_inputs_parameters_settings_and_packages(place):
    found = await jobs(
        place, {"train.py": "x"}, {"train.py": "x"},
        a={"inputs": {"lr": {"jobInputType": "literal", "value": "0.1"}, "n": {"jobInputType": "literal", "value": "1"}}, "resources": {"properties": {"cores": "1"}}},
        b={"inputs": {"lr": {"jobInputType": "literal", "value": "0.2"}, "n": {"jobInputType": "literal", "value": "1"}}, "environmentVariables": {"A": "1"}},
    )
    assert found["inputs"] == [{"name": "lr", "left": "0.1", "right": "0.2"}]
    assert found["settings"] == [{"name": "environmentVariables.A", "left": None, "right": "1"}, {"name": "resources.properties.cores", "left": "1", "right": None}]
    assert found["packages"] is None  # neither has been prepared
    for name, params in (("a", [("p", "1"), ("q", "1")]), ("b", [("p", "2"), ("q", "1")])):
        place.db.write_now(lambda tx, name=name, params=params: runs.log_params(tx, runs.get(tx, HOME.lower(), name).seq, name, params))
        await keep(place, name, "system_logs/environment_lock.txt", f"# Python 3.11.7, environment e\nnumpy==1.{params[0][1]}\nsix==1.0\n".encode())
    found = await diff(place, "a", "b")
    assert found["parameters"] == [{"name": "p", "left": "1", "right": "2"}]
    assert found["packages"] == [{"name": "numpy", "left": "1.1", "right": "1.2"}]


async def test_jobs_that_really_ran(place):
    for name in ("a", "b"):
        place.job(name, f"echo {name}", codeId=await place.code(f"c-{name}", {"x.py": f"{name}\n"}))
    await place.start()
    for name in ("a", "b"):
        await place.over(name)
    found = await diff(place, "a", "b")
    assert (found["packages"], found["code"]["changed"]) == ([], ["x.py"])
    assert found["settings"] == [{"name": "command", "left": "echo a", "right": "echo b"}]


async def test_a_job_whose_run_was_purged_is_still_a_job(place):
    await jobs(place, {"x": "1"}, {"x": "2"})
    place.db.write_now(runs.delete_job_run, HOME.lower(), "a", 1.0)
    assert (await diff(place, "a", "b"))["code"]["changed"] == ["x"]


@pytest.mark.parametrize(("left", "right", "target"), [("none", "j", "left"), ("j", "none", "right")])
async def test_who_is_not_there_is_named(place, left: str, right: str, target: str):
    place.job("j", "true")
    with pytest.raises(ArmError) as caught:
        await diff(place, left, right)
    assert (caught.value.status, caught.value.target) == (404, target)


@pytest.mark.parametrize(("body", "target"), [(None, "body"), ([], "body"), ({}, "left"), ({"left": "a"}, "right"), ({"left": 5, "right": "b"}, "left"), ({"left": "a", "right": "../b"}, "right"), ({"left": "a" * 257, "right": "b"}, "left")])
def test_a_request_that_cannot_be_read(body: object, target: str):
    with pytest.raises(ArmError) as caught:
        check_request(body)
    assert (caught.value.status, caught.value.target) == (400, target)

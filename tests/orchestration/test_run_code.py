from __future__ import annotations

from lazward.orchestration import run_code
from lazward.orchestration.data import ARTIFACTS
from lazward.orchestration.run_code import Code, code_of_run
from lazward.storage import resources, runs
from tests.orchestration.place import HOME


async def keep(place, run: str, name: str, data: bytes) -> None:
    await place.blobs.ensure_container(place.account, ARTIFACTS)
    await place.blobs.put(place.account, ARTIFACTS, f"ExperimentRun/dcid.{run}/{name}", data)


def plain_run(place, name: str, **tags: str) -> str:
    place.db.write_now(runs.create, HOME.lower(), name, "0", name, "me", 1.0, tuple(tags.items()), 1.0)
    return name


async def code_of(place, run: str, facts: dict | None = None) -> Code:
    workspace = place.db.read_now(resources.get, HOME)
    return await code_of_run(place.db, place.blobs, workspace, run, facts)


async def contents(code: Code) -> dict[str, bytes]:
    return {path: await file.read() for path, file in code.files.items()}


class TestAsset:
    async def test_its_files(self, place):
        asset = await place.code("c", {"a.py": "1", "sub/b.py": "22"})
        found = await code_of(place, "x", {"codeId": asset})
        assert (found.kind, found.id, found.cut) == ("asset", asset, False)
        assert await contents(found) == {"a.py": b"1", "sub/b.py": b"22"}
        assert {path: file.size for path, file in found.files.items()} == {"a.py": 1, "sub/b.py": 2}

    async def test_of_a_sweep_that_of_its_trials(self, place):
        asset = await place.code("c", {"a.py": "1"})
        assert (await code_of(place, "x", {"trial": {"codeId": asset}})).files.keys() == {"a.py"}

    async def test_no_more_files_than_are_compared(self, place, monkeypatch):
        monkeypatch.setattr(run_code, "MAX_FILES", 2)
        found = await code_of(place, "x", {"codeId": await place.code("c", {f"{i}.py": "" for i in range(5)})})
        assert found.cut and len(found.files) == 2

    async def test_one_that_is_gone_says_so(self, place):
        found = await code_of(place, "x", {"codeId": f"{HOME}/codes/none/versions/1"})
        assert found.kind == "none" and "not found" in found.why

    async def test_a_pipeline_has_none_of_its_own(self, place):
        assert "steps" in (await code_of(place, "x", {"jobType": "Pipeline"})).why


class TestArtifacts:
    async def test_a_snapshot(self, place):
        plain_run(place, "r")
        await keep(place, "r", "source/snapshot/train.py", b"print(1)")
        await keep(place, "r", "source/snapshot/sub/x.bin", b"\0\1")
        await keep(place, "r", "source/diff.patch", b"a patch")
        found = await code_of(place, "r")
        assert found.kind == "snapshot"
        assert await contents(found) == {"train.py": b"print(1)", "sub/x.bin": b"\0\1"}

    async def test_a_patch(self, place):
        plain_run(place, "r")
        await keep(place, "r", "source/diff.patch", b"a patch")
        found = await code_of(place, "r")
        assert (found.kind, await contents(found)) == ("patch", {"source/diff.patch": b"a patch"})

    async def test_a_job_without_code_may_have_them_too(self, place):
        place.job("j", "true")
        await keep(place, "j", "source/diff.patch", b"a patch")
        assert (await code_of(place, "j", place.facts("jobs/j"))).kind == "patch"

    async def test_neither(self, place):
        assert "source/diff.patch" in (await code_of(place, plain_run(place, "r"))).why
        place.job("j", "true")
        assert "no code asset" in (await code_of(place, "j", place.facts("jobs/j"))).why
        assert "not found" in (await code_of(place, "none")).why

    async def test_no_more_files_than_are_compared(self, place, monkeypatch):
        monkeypatch.setattr(run_code, "MAX_FILES", 2)
        plain_run(place, "r")
        for count in range(3):
            await keep(place, "r", f"source/snapshot/{count}", b"x")
            found = await code_of(place, "r")
            assert (len(found.files), found.cut) == (min(count + 1, 2), count == 2)

    async def test_a_patch_that_is_too_large_is_not_read(self, place, monkeypatch):
        monkeypatch.setattr(run_code, "MAX_FILE", 3)
        plain_run(place, "r")
        await keep(place, "r", "source/diff.patch", b"1234")
        assert "4 bytes" in (await code_of(place, "r")).why

"""Jobs that take more than the server's settings allow: each ends as Failed with a code of its own, and its neighbour completes."""

from __future__ import annotations

import os
from collections import namedtuple
from pathlib import Path

import msgspec
import pytest

from lazward.domain.ports import LaunchStatus
from lazward.domain.settings import Settings
from lazward.orchestration import job_limits
from lazward.orchestration.job_limits import explain_limit, make_room
from lazward.orchestration.job_prepare import launch_limits

MIB = 1 << 20
FOREVER = "sleep 600"


@pytest.mark.parametrize(
    ("limit", "command", "code"),
    [
        ({"max_job_log_bytes": MIB}, "setsid sh -c 'echo the last words; i=0; while [ $((i=i+1)) -lt 300000 ]; do echo 0123456789012345678901234567890123456789; done' & sleep 600", "LogLimitExceeded"),
        ({"max_job_disk_bytes": 5 * MIB}, f"head -c 9000000 /dev/zero > outputs/big; {FOREVER}", "DiskLimitExceeded"),
        ({"max_job_disk_bytes": 5 * MIB}, f"head -c 9000000 /dev/zero > $TMPDIR/big; {FOREVER}", "DiskLimitExceeded"),
        ({"max_job_processes": 30}, f"for i in $(seq 60); do setsid sleep 600 & done; {FOREVER}", "ProcessLimitExceeded"),
    ],
    ids=["log", "outputs", "tmp", "processes"],
)
async def test_a_job_that_takes_too_much(place, tmp_path: Path, limit: dict[str, int], command: str, code: str):
    place.settings = msgspec.structs.replace(place.settings, **limit)
    place.job("neighbour", f"echo begun; until [ -e {tmp_path}/go ]; do sleep 0.05; done; echo done", resources={"properties": {"cores": "1"}})
    place.job("a", command, resources={"properties": {"cores": "1"}})
    await place.start()
    facts = await place.over("a")
    (tmp_path / "go").touch()
    assert (facts["status"], facts["error"]["code"]) == ("Failed", code)
    [(setting, value)] = limit.items()
    message = facts["error"]["message"]
    assert facts["error"]["target"] == setting and setting in message
    assert (f"{value / MIB:.1f} MiB" if value >= MIB else str(value)) in message
    assert place.tags("a")["lazward.error"].startswith(f"{code}: ")
    assert (await place.over("neighbour"))["status"] == "Completed"
    assert await place.log("neighbour") == "begun\ndone\n"
    assert place.launches() == []


async def test_a_flood_says_its_last_lines_and_is_stored_whole(place):
    place.settings = msgspec.structs.replace(place.settings, max_job_log_bytes=MIB)
    place.job("a", f"i=0; while [ $i -lt 3 ]; do head -c 400000 /dev/zero | tr '\\0' x; echo; i=$((i+1)); done; echo the last line; {FOREVER}")
    await place.start()
    facts = await place.over("a")
    assert facts["exit"]["reason"] == "log" and facts["error"]["message"].endswith("the last line")
    assert len(await place.log("a")) == 3 * 400_001 + len("the last line\n")


def test_the_settings_are_the_limits_of_a_launch(tmp_path: Path):
    settings = Settings(max_job_processes=1, max_job_log_bytes=2, max_job_disk_bytes=3, min_free_disk_bytes=4)
    assert launch_limits(settings, tmp_path) == {"folder": str(tmp_path), "max_processes": 1, "log_bytes": 2, "disk_bytes": 3, "free_disk_bytes": 4}
    none = launch_limits(Settings(max_job_processes=0, max_job_log_bytes=0, max_job_disk_bytes=0, min_free_disk_bytes=0), tmp_path)
    assert [value for name, value in none.items() if name != "folder"] == [None] * 4


class TestExplain:
    @pytest.mark.parametrize(("reason", "code"), [("processes", "ProcessLimitExceeded"), ("log", "LogLimitExceeded"), ("disk", "DiskLimitExceeded"), ("space", "DiskSpaceLow")])
    def test_each_has_its_code_and_its_setting(self, reason, code: str):
        error = explain_limit(LaunchStatus("ended", reason, message="Too much."), True, " Evidence")
        assert error and error.code == code and error.target in Settings.__struct_fields__
        assert "Too much." in error.message and str(error.target) in error.message and error.message.endswith(" Evidence")
        assert "removed" not in error.message

    def test_lost_outputs_are_said(self):
        error = explain_limit(LaunchStatus("ended", "space"), False, "")
        assert error and "outputs were removed" in error.message

    @pytest.mark.parametrize("reason", ["exit", "timeout", "memory", "lost"])
    def test_other_ends_are_not_its_business(self, reason):
        assert explain_limit(LaunchStatus("ended", reason), True, "") is None


class TestMakeRoom:
    Disk = namedtuple("Disk", "f_bavail f_frsize")

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        for name in ("code/outputs/m", "code/logs/l", "code/data/d", "outputs/o/f", "user_logs/std_log.txt", "tmp/t", "packages/p", "inputs/i/x"):
            path = tmp_path / "job" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(bytes(1000))
        (tmp_path / "job" / "parallel.json").touch()
        (tmp_path / "job" / "inputs" / "i").chmod(0o555)
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "elsewhere" / "mine").touch()
        (tmp_path / "job" / "link").symlink_to(tmp_path / "elsewhere")
        return tmp_path / "job"

    def files(self, folder: Path) -> set[str]:
        return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() or path.is_symlink()}

    @pytest.mark.parametrize(("free", "kept"), [(3500, True), (3499, False)])
    def test_outputs_are_kept_where_their_copy_leaves_half_of_the_reserve(self, folder: Path, monkeypatch: pytest.MonkeyPatch, free: int, kept: bool):
        monkeypatch.setattr(job_limits.os, "statvfs", lambda path: self.Disk(free, 1))
        settings = Settings(min_free_disk_bytes=1000)
        for _ in range(2):  # as after a crash in between
            assert make_room(folder, settings) is kept
            outputs = {"code/outputs/m", "code/logs/l", "outputs/o/f"} if kept else set()
            assert self.files(folder) == {"user_logs/std_log.txt"} | outputs
        assert (folder.parent / "elsewhere" / "mine").exists()

    def test_a_bucket_has_room(self, folder: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(job_limits.os, "statvfs", lambda path: self.Disk(0, 1))
        assert make_room(folder, Settings(storage_url="s3://bucket")) is True
        assert os.path.exists(folder / "outputs" / "o" / "f")

    def test_a_job_without_a_folder(self, tmp_path: Path):
        assert make_room(tmp_path / "none", Settings()) is False

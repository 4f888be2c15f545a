"""S20: nothing of the server's is readable by others on the machine, though it was started under umask 000; not data, logs, sockets or
temporary files. More: tests/cli/test_up.py, tests/cli/test_backup.py, tests/execution/test_serving.py (a socket folder somebody else made)."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

import pytest

from tests.security.whole import Whole

pytestmark = pytest.mark.xdist_group("whole")
KEPT = ("lazward.db", "keys/master.key", "keys/principal.json", "keys/ca.key", "logs/control.log", "gateway/rds.json", "endpoint.json", "run/parts.json")


def open_to_others(root: Path) -> list[str]:
    """What others could read, write or enter below root. Where a folder is shut, what lies in it is out of reach, but that folder alone must
    not be all that stands before a secret: so every folder and file is looked at. Links have no mode of their own."""
    found = []
    for path, folders, files in os.walk(root):
        for name in [*folders, *files, "."]:
            state = os.lstat(os.path.join(path, name))
            if not stat.S_ISLNK(state.st_mode) and stat.S_IMODE(state.st_mode) & 0o077:
                found.append(f"{os.path.relpath(os.path.join(path, name), root)} {stat.S_IMODE(state.st_mode):o}")
    return found


def test_s20_nothing_in_the_data_dir_is_open_to_others(whole: Whole):
    root = whole.server.data_dir
    missing = [name for name in KEPT if not (root / name).exists()]
    assert not missing, missing
    shut = {"envs", "cache"}  # packages and cached inputs: their own modes are kept (programs are executable), the folder is shut
    for name in shut:
        assert not (root / name).exists() or stat.S_IMODE((root / name).stat().st_mode) == 0o700, name
    assert stat.S_IMODE(root.stat().st_mode) == 0o700
    assert [entry for entry in open_to_others(root) if entry.split("/")[0] not in shut and not entry.startswith(("jobs/", "serving/"))] == []
    for name in ("jobs", "serving"):  # code is copied with the modes that scripts need; the folder of each job and deployment is shut
        assert stat.S_IMODE((root / name).stat().st_mode) == 0o700
        for entry in (root / name).iterdir():
            assert stat.S_IMODE(entry.stat().st_mode) & 0o077 == 0, entry


def test_s20_a_job_and_a_model_server_make_private_files(whole: Whole):
    assert whole.job["umask"] == "0o77"
    [log] = [path for path in whole.server.data_dir.glob("jobs/**/user_logs/std_log.txt")]
    assert stat.S_IMODE(log.stat().st_mode) & 0o077 == 0
    for path in whole.server.data_dir.glob("serving/*/logs/*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_s20_nothing_is_left_in_the_shared_temporary_folder(whole: Whole):
    """Of ours there: at most the folder for sockets, which is shut."""
    mine = [entry for entry in Path(tempfile.gettempdir()).iterdir() if entry.name.startswith("lazward")]
    for entry in mine:
        assert entry.is_dir() and not entry.is_symlink() and stat.S_IMODE(entry.stat().st_mode) == 0o700, entry

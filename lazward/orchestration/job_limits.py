"""The end of a job by a limit of the server's settings: its words, and what is done for a disk that a job filled."""

from __future__ import annotations

import os
from pathlib import Path

from lazward.contract.errors import ArmError
from lazward.domain.ports import LaunchStatus
from lazward.domain.settings import Settings
from lazward.orchestration.job_prepare import remove_tree

KEPT = ("outputs", "user_logs")  # in a job's folder
KEPT_IN_CODE = ("outputs", "logs")
ENDS = {  # end reason -> code of the job's error, the setting of the limit
    "processes": ("ProcessLimitExceeded", "max_job_processes"),
    "log": ("LogLimitExceeded", "max_job_log_bytes"),
    "disk": ("DiskLimitExceeded", "max_job_disk_bytes"),
    "space": ("DiskSpaceLow", "min_free_disk_bytes"),
}


def explain_limit(status: LaunchStatus, kept: bool, shown: str) -> ArmError | None:
    """The error of a job that one of these limits ended. kept: whether its outputs are; shown: its last lines."""
    if status.reason not in ENDS:
        return None
    code, setting = ENDS[status.reason]
    advice = f"The server's setting {setting} changes the limit."
    if status.reason == "space":
        advice = f"Free some of the disk, or write less; the server's setting {setting} says how much is to stay free."
    if not kept:
        advice += " The job's outputs were removed: there was no room to keep them."
    return ArmError(400, code, f"The job was stopped with all its processes. {status.message} {advice}{shown}", setting)


def make_room(folder: Path, settings: Settings) -> bool:
    """Gives back what a job took of a disk that ran low, before anything else is written. Whether its outputs can be kept: where the
    store's disk has no room for their copy, they are removed too. Can be repeated, with the same answer."""
    if not (folder / "outputs").is_dir():
        return False
    _empty(folder, (*KEPT, "code"))
    _empty(folder / "code", KEPT_IN_CODE)
    parts = [folder / "outputs", *(folder / "code" / name for name in KEPT_IN_CODE)]
    if settings.storage_url.startswith(("s3:", "az:", "gs:")):
        return True
    needed = sum(_size(Path(path) / name) for part in parts for path, _, names in os.walk(part) for name in names)
    disk = os.statvfs(folder)
    if disk.f_bavail * disk.f_frsize - needed >= settings.min_free_disk_bytes // 2:
        return True
    for part in reversed(parts):  # "outputs" last: that it is gone is the mark
        remove_tree(part)
    return False


def _empty(folder: Path, kept: tuple[str, ...]) -> None:
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if path.name in kept:
            continue
        if path.is_dir() and not path.is_symlink():
            remove_tree(path)
        else:
            path.unlink(missing_ok=True)


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0

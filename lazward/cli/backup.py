"""`lazward backup`: the whole state in one file, while the server runs or not."""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

from lazward import __version__
from lazward.cli import archive, datadir, postgres
from lazward.cli.output import OK, fail, progress, show, size
from lazward.cli.settings import load
from lazward.domain.settings import Settings, folder_of, sqlite_path, without_password


def backup(
    file: Path, *, data_dir: str | None = None, config: str | None = None,
    set: list[str] | None = None,
) -> int:
    """Write the whole state (database, blobs, keys, settings) to one file, readable by you alone.

    It may be taken while the server runs. Running jobs, built environments and logs of the server are not in it.

    Parameters
    ----------
    file
        The tar file to write; it must not exist. Compressed when it ends in .gz or .tgz.
    data_dir
        Folder of all local state, as given to `lazward up`.
    config
        A TOML file of settings, as given to `lazward up`.
    set
        A setting as name=value, as given to `lazward up`; may be repeated.
    """
    settings = load({"data_dir": data_dir}, set or (), config).settings
    layout = settings.layout
    if not layout.keys.is_dir() or datadir.read_endpoint(layout) is None:
        fail(f"There is no Lazward state in {layout.root}.", "Name its folder with --data-dir.")
    file = file.expanduser().absolute()
    if file.exists():
        fail(f"{file} exists already.", "Name a new file.")
    if not file.parent.is_dir():
        fail(f"The folder {file.parent} does not exist.", "Make it first.")
    blobs = folder_of(settings.storage_url)
    head = {
        "version": __version__, "database": "postgresql" if sqlite_path(settings.database_url) is None else "sqlite",
        "blobs": "included" if blobs else settings.storage_url,
    }
    try:
        with _no_removal(layout.removal_lock), tempfile.TemporaryDirectory(prefix="backup-", dir=layout.run) as scratch, archive.Writer(file, head) as writer:
            # The database first: each blob that this snapshot names exists by now. (Removed bytes stay while the lock is held.)
            progress("database ...")
            name, snapshot = _snapshot(settings, Path(scratch))
            writer.add(name, snapshot)
            progress("keys and settings ...")
            writer.add_folder("keys", layout.keys)
            writer.add("settings.toml", layout.settings_file)
            writer.add("endpoint.json", layout.endpoint_file)
            if blobs:
                progress("blobs ...")
                writer.add_folder("blobs", Path(blobs))
    except OSError as error:
        fail(f"The backup could not be written: {error}.", "Make room, or name another file.")
    show(f"{file}: {writer.files} files, {size(file.stat().st_size)}. It holds the keys: keep it as safe as the server.")
    if not blobs:
        progress(f"lazward: blobs stay in {without_password(settings.storage_url)}; back that bucket up by its own means.")
    return OK


@contextlib.contextmanager
def _no_removal(lock: Path) -> Iterator[None]:
    """While it lasts, housekeeping removes no bytes that the snapshot of the database still names."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        yield


def _snapshot(settings: Settings, scratch: Path) -> tuple[str, Path]:
    path = sqlite_path(settings.database_url)
    if path is None:
        postgres.dump(settings.database_url, scratch / archive.PGDUMP)
        return archive.PGDUMP, scratch / archive.PGDUMP
    target = scratch / archive.SQLITE
    if shutil.disk_usage(scratch).free < Path(path).stat().st_size:
        fail(f"{scratch} has no room for a copy of the database.", "Make room.")
    try:
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as source, contextlib.closing(sqlite3.connect(target)) as copy:
            source.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")  # one file, no -wal beside it
    except sqlite3.Error as error:
        fail(f"The database {path} cannot be copied: {error}.", "See whether the disk is full or the file damaged.")
    return archive.SQLITE, target

"""`lazward restore`: makes a data dir from a backup."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from lazward.cli import archive, datadir, postgres
from lazward.cli.output import OK, fail, for_shell, progress, show
from lazward.cli.settings import load
from lazward.domain.layout import Layout
from lazward.domain.settings import Settings, folder_of, sqlite_path


def restore(
    file: Path, *, data_dir: str | None = None, database_url: str | None = None, storage_url: str | None = None, config: str | None = None,
    set: list[str] | None = None,
) -> int:
    """Make a data dir from a backup. The data dir must be new or empty; nothing is changed when the backup is damaged.

    Parameters
    ----------
    file
        What `lazward backup` wrote.
    data_dir
        The folder to make.
    database_url
        Where the database goes, if not to where the backup's settings say; a PostgreSQL database must be empty.
    storage_url
        Where the blobs go, if not to where the backup's settings say; a folder must be empty.
    config
        A TOML file of settings instead of the backup's.
    set
        Any other setting, as name=value; may be repeated.
    """
    os.umask(0o077)
    file = file.expanduser().absolute()
    root = Path(datadir.locate(data_dir, os.environ))
    _refuse_if_used(root)
    root.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Beside the target, so that what has been checked is moved into place, not copied.
    scratch = Path(tempfile.mkdtemp(prefix=f".{root.name}.restore-", dir=root.parent))
    try:
        progress("reading and checking ...")
        try:
            head = archive.unpack(file, scratch)
        except archive.BadArchive as error:
            fail(f"The backup cannot be restored: {error}.", "Nothing was changed. Use another backup.")
        except OSError as error:
            fail(f"The backup could not be unpacked: {error}.", "Nothing was changed. Make room, or name another --data-dir.")
        flags = {"data_dir": str(root), "database_url": database_url, "storage_url": storage_url}
        # As `lazward up` will see them: with the backup's settings.toml.
        settings = load(flags, set or (), config, own_file=scratch / "settings.toml").settings
        datadir.write_json(scratch / Layout(str(root)).restored_mark.name, {"made": head.get("created", 0.0)})
        _put(head, settings, scratch, root)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    here = for_shell(str(root))
    show(f"Restored to {root}. Start it: lazward up --data-dir {here}")
    if head["blobs"] != "included":
        progress(f"lazward: the blobs are not in the backup; they must be in {head['blobs']}.")
    return OK


def _put(head: dict[str, Any], settings: Settings, scratch: Path, root: Path) -> None:
    layout = Layout(str(root))
    database, blobs = sqlite_path(settings.database_url), folder_of(settings.storage_url)
    if (head["database"] == "sqlite") != (database is not None):
        fail(
            f"The backup holds a database of kind {head['database']}, the settings name another kind.",
            "Nothing was changed. Name one of the same kind with --database-url.",
        )
    inside = {layout.database, layout.blobs}
    if database and Path(database) not in inside and Path(database).exists():
        fail(f"The database {database} exists already.", "Nothing was changed. Name another with --database-url.")
    if blobs and Path(blobs) not in inside and Path(blobs).is_dir() and any(Path(blobs).iterdir()):
        fail(f"The folder of blobs {blobs} is not empty.", "Nothing was changed. Name another with --storage-url.")
    if database is None:
        postgres.check_empty(settings.database_url)
        progress("database ...")
        postgres.load(settings.database_url, scratch / archive.PGDUMP)
        (scratch / archive.PGDUMP).unlink()
    else:
        target = scratch / "lazward.db" if Path(database) == layout.database else Path(database)
        _move(scratch / archive.SQLITE, target)
    if blobs and Path(blobs) != layout.blobs and (scratch / "blobs").exists():
        Path(blobs).mkdir(parents=True, exist_ok=True)
        for entry in (scratch / "blobs").iterdir():
            _move(entry, Path(blobs) / entry.name)
        (scratch / "blobs").rmdir()
    os.sync()  # once, instead of an fsync for each of many files
    if root.exists():
        root.rmdir()  # it is empty; were it not any more, this fails and changes nothing
    scratch.replace(root)


def _move(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    shutil.move(source, target)  # may be another file system


def _refuse_if_used(root: Path) -> None:
    if datadir.holder(Layout(str(root))) is not None:
        fail(f"A server runs in {root}.", "Restore into a new folder: --data-dir.")
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        fail(f"{root} exists and is not empty.", "Restore into a new folder: --data-dir.")

"""`lazward export`, `lazward import`, `lazward import-mlflow`."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from lazward import __version__
from lazward.cli import state
from lazward.cli.output import FAILED, OK, USAGE, fail, progress, show, show_json, size

if TYPE_CHECKING:
    from lazward.cli.moving.source import Source


def export(
    file: str, *, workspace: str | None = None, experiment: list[str] | None = None, no_artifacts: bool = False, data_dir: str | None = None,
) -> int:
    """Write a workspace's experiments, runs, models, traces and their files to one file, for `lazward import`.

    Parameters
    ----------
    file
        The file to write: a tar, gzip'd when its name ends in .gz or .tgz.
    workspace
        Name of the workspace; that of LAZWARD_WORKSPACE or the server's first one when left out.
    experiment
        Name of an experiment; may be given several times. Without it, all of them.
    no_artifacts
        Leave out the files.
    data_dir
        Folder of all local state, as given to `lazward up`.
    """
    from lazward.apps.shared import build_blobs
    from lazward.cli.moving.archive_file import Writer
    from lazward.cli.moving.outgoing import Outgoing

    path = Path(file).expanduser().absolute()
    if path.is_dir() or not path.parent.is_dir():
        fail(f"{path} is a folder." if path.is_dir() else f"There is no folder {path.parent}.", "Name a file to write.", USAGE)
    began = last = time.monotonic()

    def told(count: int) -> None:
        nonlocal last
        if time.monotonic() - last > 2:
            last = time.monotonic()
            progress(f"lazward: {count} of about {sum(totals.values())} records and more, {size(writer.bytes)} of files")

    with state.opened_workspace(data_dir, workspace) as (opened, key):
        blobs = build_blobs(opened.settings, opened.db)
        try:
            outgoing = Outgoing(opened.db, blobs, key, tuple(experiment or ()), told)
            if outgoing.missing:
                fail(f"There is no experiment named {outgoing.missing[0]!r}.", "Names are as `mlflow experiments search` shows them.")
            totals = outgoing.totals()
            with Writer(path, {"version": __version__, "workspace": key.rsplit("/", 1)[-1], "totals": totals}) as writer:
                outgoing.write(writer, not no_artifacts)
        except OSError as error:
            fail(f"The export could not be written: {error}.", "Make room, or name another file.")
        finally:
            blobs.close()
    for what, why in outgoing.skipped:
        progress(f"left out: {what}: {why}")
    counted = ", ".join(f"{n} {kind}" for kind, n in totals.items() if n) or "nothing was logged yet"
    show(f"{file}: {counted}, {writer.files} files, {size(path.stat().st_size)}, in {time.monotonic() - began:.1f} s")
    return FAILED if outgoing.skipped else OK


def import_file(
    file: str, *, workspace: str | None = None, prefix: str = "", data_dir: str | None = None, json: bool = False,
) -> int:
    """Bring what `lazward export` wrote into a workspace. Can be repeated, and goes on where it was when it was stopped.

    Parameters
    ----------
    file
        The file of an export.
    workspace
        Name of the workspace; that of LAZWARD_WORKSPACE or the server's first one when left out.
    prefix
        Put in front of the names of experiments and registered models.
    data_dir
        Folder of all local state, as given to `lazward up`.
    json
        Print the summary as JSON.
    """

    def source() -> Source:
        from lazward.cli.moving.archive_file import Archive

        return Archive(Path(file).expanduser())

    return _import(source, workspace, prefix, data_dir, json)


def import_mlflow(
    source: str, *, workspace: str | None = None, experiment: list[str] | None = None, artifacts: str | None = None, no_artifacts: bool = False, prefix: str = "",
    data_dir: str | None = None, json: bool = False,
) -> int:
    """Bring the data of an MLflow server, of its SQLite file or of an `mlruns` folder into a workspace. Can be repeated, and goes on.

    Parameters
    ----------
    source
        http(s)://HOST of a running server (MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and _PASSWORD, as for its clients),
        sqlite:///FILE, or the folder mlruns.
    workspace
        Name of the workspace; that of LAZWARD_WORKSPACE or the server's first one when left out.
    experiment
        Name of an experiment; may be given several times. Without it, all of them.
    artifacts
        Folder that `mlflow-artifacts:` stands for, of a server with sqlite:///FILE: its --artifacts-destination (mlartifacts).
    no_artifacts
        Leave out the files.
    prefix
        Put in front of the names of experiments and registered models.
    data_dir
        Folder of all local state, as given to `lazward up`.
    json
        Print the summary as JSON.
    """

    def opened() -> Source:
        from lazward.cli.moving.mlflow_source import open_source

        return open_source(source, tuple(experiment or ()), artifacts, not no_artifacts)

    return _import(opened, workspace, prefix, data_dir, json)


def _import(source: Callable[[], Source], workspace: str | None, prefix: str, data_dir: str | None, json: bool) -> int:
    from lazward.apps.shared import build_blobs
    from lazward.cli.moving.intake import REST, Intake
    from lazward.cli.moving.report import Progress, summary
    from lazward.cli.moving.source import BadSource
    from lazward.contract.mlflow import MlflowError
    from lazward.storage.away import DatabaseAway

    with state.opened_workspace(data_dir, workspace) as (opened, key):
        blobs = build_blobs(opened.settings, opened.db)
        intake: Intake | None = None
        shown = Progress({})
        try:
            found = source()
            shown = Progress(found.totals())
            intake = Intake(opened.db, blobs, opened.settings, key, prefix=prefix, rest=REST if opened.layout.server_file.is_file() or not opened.db.is_sqlite else 0.0, told=shown)
            done = intake.take(found)
        except (BadSource, MlflowError, DatabaseAway) as error:
            if intake:
                summary(intake.done, shown.seconds, False)
            fail(str(error.message if isinstance(error, MlflowError) else error), "What is imported stays; the same command goes on from there.")
        finally:
            blobs.close()
    told = summary(done, shown.seconds, json)
    if told is not None:
        show_json(told)
    return FAILED if done.refused_count else OK

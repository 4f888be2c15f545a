"""`lazward trash`: the bin of experiments, runs and logged models of a workspace."""

from __future__ import annotations

import time

from lazward.cli import state
from lazward.cli.output import FAILED, OK, USAGE, columns, duration, fail, show, show_json, size

_WAIT_S = 0.2
MOST = 100_000  # that are looked at


def list_all(*, workspace: str | None = None, data_dir: str | None = None, json: bool = False) -> int:
    """Show what was deleted and can be restored, longest in the bin first.

    Parameters
    ----------
    workspace
        Name of the workspace; that of LAZWARD_WORKSPACE or the server's first one when left out.
    data_dir
        Folder of all local state, as given to `lazward up`.
    json
        Print JSON.
    """
    from lazward.storage import trash

    with state.opened_workspace(data_dir, workspace) as (opened, key):
        found, _ = opened.db.read_now(trash.listed, key, MOST)
        days = opened.settings.trash_days
    now = time.time()
    if json:
        show_json([{"kind": i.kind, "id": i.id, "name": i.name, "experiment": i.experiment, "deleted": i.deleted} for i in found])
        return OK
    rows = [("kind", "id", "name", "deleted", "goes")]
    rows += [(i.kind, i.id, i.name, f"{duration(now - i.deleted)} ago", f"in {duration(max(0.0, i.deleted + days * 86400 - now))}" if days else "never") for i in found]
    show(columns(rows))
    show(f"{len(found)} in the bin")
    return OK


def restore(*ids: str, workspace: str | None = None, data_dir: str | None = None) -> int:
    """Take experiments, runs or logged models out of the bin again.

    Parameters
    ----------
    ids
        As `lazward trash list` shows them.
    workspace
        Name of the workspace; that of LAZWARD_WORKSPACE or the server's first one when left out.
    data_dir
        Folder of all local state, as given to `lazward up`.
    """
    from lazward.contract.errors import ArmError
    from lazward.storage import trash

    if not ids:
        fail("Which ones?", "See `lazward trash list`.", USAGE)
    with state.opened_workspace(data_dir, workspace) as (opened, key):
        kinds = {item.id: item.kind for item in opened.db.read_now(trash.listed, key, MOST)[0]}
        if unknown := [id_ for id_ in ids if id_ not in kinds]:
            fail(f"{unknown[0]} is not in the bin.", "See `lazward trash list`.")
        runs, experiments, models = ([id_ for id_ in ids if kinds[id_] == kind] for kind in ("run", "experiment", "logged_model"))
        try:
            opened.db.write_now(trash.restore, key, runs, experiments, models, time.time())
        except ArmError as error:
            fail(error.message, "See `lazward trash list`.")
    show(f"{len(ids)} restored")
    return OK


def empty(*ids: str, older_than: float | None = None, everything: bool = False, workspace: str | None = None, data_dir: str | None = None) -> int:
    """Remove for good what is in the bin, and free the room it takes. Says how much that is.

    Files that a registered model or another asset was made from stay. Jobs that are not over stay, with their experiments.

    Parameters
    ----------
    ids
        As `lazward trash list` shows them.
    older_than
        All that has been in the bin for so many days.
    everything
        All of it.
    workspace
        Name of the workspace; that of LAZWARD_WORKSPACE or the server's first one when left out.
    data_dir
        Folder of all local state, as given to `lazward up`.
    """
    from lazward.orchestration import tracking_trash
    from lazward.storage import tasks, trash

    if bool(ids) + (older_than is not None) + everything != 1 or (older_than or 0) < 0:
        fail("Say what is to go: ids, or --older-than DAYS, or --everything.", "See `lazward trash empty --help`.", USAGE)
    with state.opened_workspace(data_dir, workspace) as (opened, key):
        now = time.time()
        if ids:
            kinds = {item.id: item.kind for item in opened.db.read_now(trash.listed, key, MOST)[0]}
            if unknown := [id_ for id_ in ids if id_ not in kinds]:
                fail(f"{unknown[0]} is not in the bin.", "See `lazward trash list`.")
            chosen = {name: [id_ for id_ in ids if kinds[id_] == kind] for name, kind in (("run_ids", "run"), ("experiment_ids", "experiment"), ("model_ids", "logged_model"))}
            operation, claimed = opened.db.write_now(tracking_trash.empty, key, now, **chosen)
        else:
            operation, claimed = opened.db.write_now(tracking_trash.empty, key, now, before=now - (older_than or 0) * 86400)
        if operation is None:
            show("nothing to remove")
            return OK
        show(f"{claimed.runs} runs, {claimed.experiments} experiments, {claimed.models} logged models are gone for good; freeing their room ...")
        if not opened.layout.server_file.is_file():
            show("The server does not run: the room is freed when it does.")
            return OK
        while (task := opened.db.read_now(tasks.get, operation)) is not None and task.status == "InProgress":
            time.sleep(_WAIT_S)
        if task is None or task.status != "Succeeded":
            fail(f"It did not end well: {(task.error or {}).get('message', 'no reason given') if task else 'it is not there any more'}", "The server goes on with it by itself; see `lazward status`.", FAILED)
        show(f"freed {size(task.state.get('bytes', 0))} in {task.state.get('files', 0)} files")
    return OK

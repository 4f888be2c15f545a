"""`lazward sync`: sends what training scripts have logged while their tracking server was away."""

from __future__ import annotations

from lazward.cli.output import fail


def sync(folder: str = "", /, *, to: str = "", dry_run: bool = False, again: bool = False) -> int:
    """Send what was logged while the tracking server was away, or with LAZWARD_OFFLINE=1.

    Signs in with MLFLOW_TRACKING_TOKEN, or as the identity of `lazward env`. Can be stopped and run again.

    Parameters
    ----------
    folder
        What to send: LAZWARD_SPOOL_DIR (by default ~/.lazward-spool), or a folder in it.
    to
        Tracking URI of another server, or workspace, than the one that was logged to.
    dry_run
        Only say what would be sent.
    again
        Try what was refused before once more.
    """
    import os

    from lazward_mlflow.__main__ import run
    from lazward_mlflow.settings import default_folder

    where = os.path.abspath(os.path.expanduser(folder)) if folder else default_folder(os.environ)  # noqa: PTH100, PTH111
    if folder and not os.path.isdir(where):  # noqa: PTH112
        fail(f"There is no folder {where}.", "Name a spool, or leave it out for the usual one.")
    return run(where, to, dry_run, again)

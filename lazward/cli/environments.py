"""`lazward environments`: the cache of built environments. Needs no running server, and disturbs none."""

from __future__ import annotations

import asyncio
import time

from lazward.cli import datadir, state
from lazward.cli.output import OK, USAGE, columns, duration, fail, show, show_json, size
from lazward.domain.layout import Layout


def list_all(*, data_dir: str | None = None, json: bool = False) -> int:
    """Show every built environment: its size, when it was last used, and how many jobs and deployments use it now.

    Parameters
    ----------
    data_dir
        Folder of all local state, as given to `lazward up`.
    json
        Print JSON.
    """
    from lazward.execution.prune import stored

    layout = _layout(data_dir)
    now = time.time()
    found = stored(layout.envs)
    if json:
        show_json([{"key": e.key, "path": str(e.path), "bytes": e.bytes, "last_used": e.last_used, "used_by": list(e.holders)} for e in found])
        return OK
    rows = [("environment", "size", "last used", "used by")]
    rows += [(e.key, size(e.bytes), f"{duration(now - e.last_used)} ago", str(len(e.holders))) for e in found]
    show(columns(rows))
    show(f"{len(found)} environments, {size(sum(e.bytes for e in found))} (files that several share are counted in each)")
    return OK


def prune(*, keep_bytes: int | None = None, keep_days: float | None = None, data_dir: str | None = None) -> int:
    """Remove environments that nothing uses, the least recently used first. Without a limit, those of the settings count.

    What a job or deployment uses stays, and what was used within the last hour. A removed one is built again, as it was, when it is asked for.

    Parameters
    ----------
    keep_bytes
        Remove until no more than this is left; 0 removes all that may be removed.
    keep_days
        Remove what has not been used for so many days.
    data_dir
        Folder of all local state, as given to `lazward up`.
    """
    if (keep_bytes or 0) < 0 or (keep_days or 0) < 0:
        fail("A limit is not less than 0.", "See `lazward environments prune --help`.", USAGE)
    layout = _layout(data_dir)
    if keep_bytes is None and keep_days is None:
        settings = state.settings_of(layout)
        keep_bytes, keep_days = settings.environments_max_bytes or None, settings.environments_max_days or None
    from lazward.execution.prune import prune as remove

    gone = asyncio.run(remove(layout.envs, keep_bytes, keep_days))
    for one in gone:
        show(f"removed {one.key} ({size(one.bytes)}, last used {duration(time.time() - one.last_used)} ago)")
    show(f"{len(gone)} environments removed, {size(sum(one.bytes for one in gone))}")
    return OK


def _layout(data_dir: str | None) -> Layout:
    layout = datadir.here(data_dir)
    if not (layout.envs / "envs").is_dir():
        fail(f"No environment has been built in {layout.root}.", "Name the server's folder with --data-dir.")
    return layout

"""`lazward down`: stops the server. Running jobs go on; the next `lazward up` attaches to them."""

from __future__ import annotations

import os
import signal

from lazward.cli import datadir, processes
from lazward.cli.output import OK, fail, show
from lazward.cli.supervisor import end_leftovers, leftovers
from lazward.domain.layout import Layout

_EARLY = 3.0  # seconds
_GRACE = 10.0  # seconds, for parts whose supervisor is gone


def down(*, data_dir: str | None = None, wait: int = 60) -> int:
    """Stop the server and its parts. Running jobs survive.

    Parameters
    ----------
    data_dir
        Folder of all local state, as given to `lazward up`.
    wait
        Seconds to wait for the end; the parts are killed after the setting stop_grace anyway.
    """
    layout = datadir.here(data_dir)
    pid = datadir.holder(layout)
    if pid is None:
        left = leftovers(layout.parts_file)
        if not left:
            show(f"No server runs in {layout.root}.")
            return OK
        lock = datadir.lock(layout)
        end_leftovers(left, _GRACE, show)
        layout.parts_file.unlink(missing_ok=True)
        layout.server_file.unlink(missing_ok=True)
        lock.release_in_this_process()
        show("Stopped.")
        return OK
    # One that has just been started writes its record a moment after it has taken the lock.
    processes.wait_until(lambda: _server(layout) is not None or datadir.holder(layout) is None, _EARLY)
    server = _server(layout)
    if server is None:
        fail(f"The data dir {layout.root} is used by process {pid}, which is no running server.", f"Wait for it, or look at it: ps {pid}")
    try:
        os.kill(server.pid, signal.SIGTERM)
    except PermissionError:
        fail(f"The server (pid {server.pid}) runs as another user.", "Run this command as that user.")
    if not datadir.wait_for_release(layout, wait):
        fail(f"The server (pid {server.pid}) has not ended within {wait} s.", f"See {layout.logs / 'supervisor.log'}, or run `lazward down` again.")
    show("Stopped. Running jobs go on; `lazward up` attaches to them.")
    return OK


def _server(layout: Layout) -> datadir.Server | None:
    """The record of the server that has the lock."""
    server = datadir.read_server(layout)
    if server and server.pid == datadir.holder(layout) and processes.is_same(server.pid, server.identity):
        return server
    return None

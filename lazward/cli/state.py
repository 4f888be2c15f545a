"""The state of a data dir, for commands that change it without asking the server. A running server notices within a second: it compares
what it holds in memory with the database, and the commit rings its worker, which tells the gateway."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lazward.cli import datadir
from lazward.cli.output import fail
from lazward.domain.layout import Layout
from lazward.domain.settings import Settings

if TYPE_CHECKING:
    from lazward.orchestration.authority import Authority
    from lazward.storage.db import Database
    from lazward.storage.secrets import Vault

ACTOR = "command line"  # who events say it was


@dataclass
class State:
    settings: Settings
    db: Database
    vault: Vault
    master_key: bytes
    authority: Authority
    tenant: str

    @property
    def layout(self) -> Layout:
        return self.settings.layout


def settings_of(layout: Layout) -> Settings:
    """As of the last start, flags included, for that is where the state lies; else (a data dir just restored) as a start would read them."""
    import msgspec

    from lazward.cli.settings import load
    from lazward.domain.settings import decode

    try:
        return decode(layout.resolved_settings.read_bytes())
    except (OSError, msgspec.DecodeError):
        return load({"data_dir": str(layout.root)}).settings


@contextlib.contextmanager
def opened(data_dir: str | None) -> Iterator[State]:
    """Ends the command where there is no state, or one of another version."""
    from sqlalchemy.exc import SQLAlchemyError

    from lazward.apps.main import PATIENCE_S, open_database
    from lazward.identity.master_key import ensure_master_key
    from lazward.orchestration.authority import Authority
    from lazward.orchestration.bootstrap import META
    from lazward.storage import schema
    from lazward.storage.secrets import Vault

    layout = datadir.here(data_dir)
    if not layout.master_key.is_file():
        fail(f"There is no Lazward state in {layout.root}.", "Start a server with `lazward up`, or name its folder with --data-dir.")
    settings = settings_of(layout)
    master_key = ensure_master_key(layout.master_key)
    vault = Vault(master_key)
    db = open_database(settings, PATIENCE_S)
    try:
        try:
            current = schema.is_current(db)
        except SQLAlchemyError as error:
            fail(f"The database cannot be read: {str(error).splitlines()[0][:300]}.", "See whether it runs, and `lazward settings` for where it is looked for.")
        if not current:
            fail("The database is of another version of Lazward.", "Start the server once with this version: `lazward up`.")
        found = db.read_now(vault.get_json, META)
        if found is None:
            fail("The server has not been started yet.", "Start it with `lazward up`.")
        authority = Authority(
            db, vault, master_key, base_url=settings.base_url, tenant=found["tenant_id"], lifetime=settings.access_token_lifetime,
            key_lifetime=settings.signing_key_lifetime, now=time.time,
        )
        yield State(settings, db, vault, master_key, authority, found["tenant_id"])
    finally:
        db.close()


@contextlib.contextmanager
def opened_workspace(data_dir: str | None, workspace: str | None) -> Iterator[tuple[State, str]]:
    """The state, and the key of the workspace of that name: of LAZWARD_WORKSPACE, or the server's first one, when it is None."""
    from lazward.contract.ids import ML
    from lazward.orchestration.bootstrap import WORKSPACE
    from lazward.storage import resources

    with opened(data_dir) as found:
        wanted = workspace or os.environ.get("LAZWARD_WORKSPACE") or WORKSPACE
        ids = found.db.read_now(resources.ids_named, f"{ML}/workspaces", wanted)
        if len(ids) != 1:
            fail(f"There are {len(ids)} workspaces named {wanted!r}." if ids else f"There is no workspace named {wanted!r}.", "Name one with --workspace.")
        yield found, ids[0].lower()

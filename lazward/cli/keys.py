"""`lazward keys`: the keys that sign tokens."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from lazward.cli import state
from lazward.cli.output import OK, show

if TYPE_CHECKING:
    from lazward.storage.db import Tx


def rotate(*, revoke: bool = False, data_dir: str | None = None) -> int:
    """Replace the key that signs tokens. Tokens signed before stay good until they end, unless --revoke is given.

    Parameters
    ----------
    revoke
        For a key that leaked: every token given out so far ends now, those of running jobs and of endpoint callers too.
    data_dir
        Folder of all local state, as given to `lazward up`.
    """
    with state.opened(data_dir) as here:

        def change(tx: Tx) -> str:
            return here.authority.rotate_key(tx, time.time(), revoke_old=revoke)

        kid = here.db.write_now(change)
    show(f"Tokens are signed with the key {kid} from now on." + (" Those signed before are good no more." if revoke else ""))
    return OK

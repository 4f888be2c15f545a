"""The key that encrypts stored secrets and from which storage keys are derived. Losing it loses them: backups hold it."""

from __future__ import annotations

import secrets
from pathlib import Path

from lazward.identity.private_files import write_private

BYTES = 32


def ensure_master_key(path: Path) -> bytes:
    """Reads the key, making it at the first start. Raises ValueError where the file is not a key: it is never replaced silently,
    for everything encrypted with it would be lost. The caller holds the data dir's lock."""
    try:
        key = path.read_bytes()
    except FileNotFoundError:
        key = secrets.token_bytes(BYTES)
        write_private(path, key)
    if len(key) != BYTES:
        raise ValueError(f"{path} holds {len(key)} bytes, not {BYTES}. Bring the file back from a backup.")
    return key

"""The keys that sign tokens: in the vault by the time they were made, replaced by age, kept until what they signed has ended."""

from __future__ import annotations

import datetime as dt
from itertools import pairwise

from lazward.contract.envelope import timestamp
from lazward.identity import tokens
from lazward.identity.tokens import SigningKeys
from lazward.storage.db import Tx
from lazward.storage.secrets import Vault

PREFIX = "signing-key:"


def names(tx: Tx, vault: Vault) -> tuple[str, ...]:
    """Names of the keys in the vault, newest first; what holds keys in memory compares them."""
    return tuple(sorted(vault.names(tx, PREFIX), reverse=True))


def load(tx: Tx, vault: Vault, found: tuple[str, ...]) -> SigningKeys | None:
    """None before the first start."""
    pems = [(name.rsplit(":", 1)[-1], vault.get(tx, name)) for name in found]
    held = [(kid, pem) for kid, pem in pems if pem is not None]
    return SigningKeys(held) if held else None


def rotate(tx: Tx, vault: Vault, now: float, *, revoke_old: bool = False) -> str:
    """Adds a key, which signs from now on; returns its id. revoke_old: for a key that leaked; all tokens given out end at once."""
    if revoke_old:
        for name in names(tx, vault):
            vault.delete(tx, name)
    kid, pem = tokens.new_key()
    vault.put(tx, f"{PREFIX}{timestamp(now)}:{kid}", pem, now)
    return kid


def is_due(found: tuple[str, ...], now: float, lifetime: float, longest_token: float) -> bool:
    """Whether keep_up would do something."""
    return bool(found) and (now - made_at(found[0]) > lifetime or bool(_outlived(found, now, longest_token)))


def keep_up(tx: Tx, vault: Vault, now: float, lifetime: float, longest_token: float) -> None:
    """A new key when the newest is older than `lifetime` seconds, and away with those that signed nothing that is still valid.
    Safe to run by several processes at once."""
    found = names(tx, vault)
    if found and now - made_at(found[0]) > lifetime:
        rotate(tx, vault, now)
        found = names(tx, vault)
    for name in _outlived(found, now, longest_token):
        vault.delete(tx, name)


def _outlived(found: tuple[str, ...], now: float, longest_token: float) -> list[str]:
    """A key signed until the next one came; its last token lives `longest_token` seconds from then (and an hour for clocks)."""
    return [older for newer, older in pairwise(found) if now > made_at(newer) + longest_token + 3600]


def made_at(name: str) -> float:
    """Unix seconds."""
    stamp = name.removeprefix(PREFIX).rsplit(":", 1)[0]
    return dt.datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp()

"""POSIX permissions and access control lists as the Data Lake endpoint writes them. They are kept and given back, not enforced."""

from __future__ import annotations

import re

from lazward.domain.blobs.errors import storage_error

_SYMBOLIC = re.compile(r"[r-][w-][x-][r-][w-][xsS-][r-][w-][xtT-]\+?\Z")
_ENTRY = re.compile(r"(default:)?(user|group|mask|other):([^:,\s]*)(?::([r-][w-][x-]))?\Z")


def permissions(text: str) -> str:
    """rwxr-x--- from that or from octal 0750; ArmError 400 for anything else."""
    if re.fullmatch(r"[0-7]{3,4}", text):
        return "".join("".join(letter if int(digit) & bit else "-" for letter, bit in zip("rwx", (4, 2, 1), strict=True)) for digit in text[-3:])
    if _SYMBOLIC.match(text):
        return text.rstrip("+")
    raise storage_error("InvalidHeaderValue", f"'{text[:40]}' is neither like rwxr-x--- nor like 0750.", "x-ms-permissions")


def of_permissions(mode: str) -> str:
    return f"user::{mode[:3]},group::{mode[3:6]},other::{mode[6:9].replace('t', 'x').replace('T', '-')}"


def parse(text: str, *, without_rights: bool = False) -> dict[str, str]:
    """{"[default:]user:ID": "rwx"}; without_rights: as in a list of what to remove."""
    found = {}
    for piece in text.split(","):
        match = _ENTRY.match(piece.strip())
        if not match or (match.group(4) is None) != without_rights:
            raise storage_error("InvalidHeaderValue", f"'{piece[:60]}' is no entry of an access control list.", "x-ms-acl")
        found[f"{match.group(1) or ''}{match.group(2)}:{match.group(3)}"] = match.group(4) or ""
    return found


def combine(old: str, given: str, mode: str) -> str:
    """mode set: the new list; modify: its entries over the old ones; remove: the old ones without it."""
    if mode == "remove":
        gone = parse(given, without_rights=True)
        kept = {name: rights for name, rights in parse(old).items() if name not in gone}
        return _text(kept)
    if mode == "modify":
        return _text(parse(old) | parse(given))
    entries = parse(given)
    if not {"user:", "group:", "other:"} <= set(entries):
        raise storage_error("InvalidHeaderValue", "An access control list has entries user::, group:: and other::.", "x-ms-acl")
    return _text(entries)


def permissions_of(acl: str, old: str) -> str:
    """The mode that an access control list amounts to; its mask stands for the group where there is one."""
    entries = parse(acl)
    group = entries.get("mask:", entries.get("group:", old[3:6]))
    return entries.get("user:", old[:3]) + group + entries.get("other:", old[6:9])


def _text(entries: dict[str, str]) -> str:
    return ",".join(f"{name}:{rights}" for name, rights in entries.items())

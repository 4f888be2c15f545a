"""Whom a token was made for. Clients ask for Azure's fixed audiences also in a cloud of another name (wire contract 2.1), so those
are ours too; but a token for one service opens no other."""

from __future__ import annotations

import re

AML_RESOURCE = "https://ml.azure.lazward.local"  # what the SDK makes of the portal in our cloud metadata

_FIXED = {
    "https://management.azure.com": "management", "https://management.core.windows.net": "management", "https://ml.azure.com": "management",
    AML_RESOURCE: "management", "https://storage.azure.com": "storage", "https://graph.microsoft.com": "graph", "https://graph.windows.net": "graph",
    "https://vault.azure.net": "vault",
}
_ACCOUNT = re.compile(r"https://[a-z0-9]{3,24}\.(?:blob|dfs|file)\.core\.[a-z0-9.:-]{1,255}")
# Surfaces that are not named here take tokens for management.
_TAKES = {
    "blob": frozenset({"storage"}), "dfs": frozenset({"storage"}), "vault": frozenset({"vault"}),
    "graph": frozenset({"graph", "management"}),  # our metadata names our own address as Graph's resource id
}
_DEFAULT = frozenset({"management"})


def service_of(audience: str, bases: frozenset[str]) -> str:
    """management | storage | graph | vault, or "" for an audience that is none of ours. bases: our own addresses, lower case."""
    text = audience.rstrip("/").lower()
    if text in bases:
        return "management"
    return _FIXED.get(text) or ("storage" if _ACCOUNT.fullmatch(text) else "")


def management_audiences(bases: frozenset[str]) -> frozenset[str]:
    """Every spelling that tokens for management may carry, slash or not, for checks that compare exactly."""
    plain = bases | {text for text, service in _FIXED.items() if service == "management"}
    return plain | {text + "/" for text in plain}


def takes(surface: str, audience: str) -> bool:
    """Whether a surface takes a token of that audience. "" is a caller that did not come with a token."""
    return not audience or (service_of(audience, frozenset()) or "management") in _TAKES.get(surface, _DEFAULT)

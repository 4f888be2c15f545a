"""Azure resource ids: parsing, printing, comparing.

Shape (ARM RPC): /subscriptions/{s}[/resourceGroups/{g}][/providers/{NS}/{type}/{name}[/{type}/{name}...]][/providers/{NS2}/...]
Ids compare without regard to case; the case a client wrote is kept for printing.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from lazward.contract.errors import ArmError

ML = "Microsoft.MachineLearningServices"

MAX_NAME = 255

# Names become path pieces and SQL keys: control characters, separators and dot-only names are refused for all types.
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f/\\?#%&<>\"*|]")
# Characters that nobody sees, or that turn the ones around them: two names that look alike must be one name.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def check_name(name: str, target: str = "name") -> str:
    """Returns `name` if it can be part of an id; raises ArmError 400 otherwise."""
    if not name or len(name) > MAX_NAME or name.strip(".") == "" or name != name.strip() or _FORBIDDEN.search(name) or not (name.isascii() or _fits(name)):
        shown = name[:64].encode("ascii", "backslashreplace").decode()
        raise ArmError(400, "InvalidResourceName", f"'{shown}' is not a valid resource name.", target)
    return name


def _fits(name: str) -> bool:
    """Of a name beyond ASCII. Its bytes are limited: ids are keys of an index, and PostgreSQL's entries have an end."""
    if any(unicodedata.category(c) in _UNSEEN for c in name):
        return False
    return unicodedata.is_normalized("NFC", name) and len(name.encode()) <= MAX_NAME


@dataclass(frozen=True)
class ResourceId:
    """One resource, or a collection when the last type has no name.

    segments: pairs (type, name) under the provider, e.g. (("workspaces", "w"), ("jobs", "j")).
    """

    subscription: str = ""
    group: str = ""
    provider: str = ""
    segments: tuple[tuple[str, str], ...] = ()
    scope: str = ""  # for extension resources: the id they hang from, as written

    def __str__(self) -> str:
        text = self.scope
        if not text:
            text = f"/subscriptions/{self.subscription}" if self.subscription else ""
            if self.group:
                text += f"/resourceGroups/{self.group}"
        if self.provider:
            text += f"/providers/{self.provider}"
            for kind, name in self.segments:
                text += f"/{kind}/{name}" if name else f"/{kind}"
        return text

    @property
    def key(self) -> str:
        """The id in the form used for comparison and as database key."""
        return str(self).lower()

    @property
    def name(self) -> str:
        return self.segments[-1][1] if self.segments else (self.group or self.subscription)

    @property
    def type_path(self) -> str:
        """Types without names, e.g. "workspaces/jobs"."""
        return "/".join(kind for kind, _ in self.segments)

    @property
    def full_type(self) -> str:
        return f"{self.provider}/{self.type_path}"

    @property
    def parent(self) -> ResourceId:
        """The resource above: workspace of a job, container of a version, resource group of a workspace."""
        if len(self.segments) > 1:
            return ResourceId(self.subscription, self.group, self.provider, self.segments[:-1], self.scope)
        if self.scope:
            return parse(self.scope)
        if self.provider and self.group:
            return ResourceId(self.subscription, self.group)
        return ResourceId(self.subscription)

    def child(self, kind: str, name: str) -> ResourceId:
        return ResourceId(self.subscription, self.group, self.provider, (*self.segments, (kind, name)), self.scope)

    @property
    def workspace(self) -> ResourceId:
        """The workspace (or registry) this resource lies in; itself if it is one."""
        return ResourceId(self.subscription, self.group, self.provider, self.segments[:1])


def parse(text: str) -> ResourceId:
    """Parses an id; raises ArmError 400 when it is none. A trailing type without a name gives a collection (name "")."""
    parts = [p for p in text.split("/") if p]
    lower = [p.lower() for p in parts]
    sub = group = ""
    at = 0
    if lower[:1] == ["subscriptions"] and len(parts) > 1:
        sub, at = parts[1], 2
        if lower[at : at + 1] == ["resourcegroups"] and len(parts) > at + 1:
            group, at = parts[at + 1], at + 2
    if at == len(parts):
        if not sub:
            raise ArmError(400, "InvalidResourceId", f"'{text[:200]}' is not a resource id.", "id")
        return ResourceId(check_name(sub), check_name(group) if group else "")
    providers = [i for i in range(at, len(parts)) if lower[i] == "providers"]
    if not providers or providers[0] != at or len(parts) < at + 2:
        raise ArmError(400, "InvalidResourceId", f"'{text[:200]}' is not a resource id.", "id")
    last = providers[-1]
    scope = "/" + "/".join(parts[:last]) if last != at else ""
    rest = parts[last + 2 :]
    segments = tuple((rest[i], rest[i + 1] if i + 1 < len(rest) else "") for i in range(0, len(rest), 2))
    for kind, name in segments:
        check_name(kind, "type")
        if name:
            check_name(name)
    return ResourceId(sub, group, parts[last + 1] if len(parts) > last + 1 else "", segments, scope)


def workspace_id(subscription: str, group: str, workspace: str) -> ResourceId:
    return ResourceId(subscription, group, ML, (("workspaces", workspace),))

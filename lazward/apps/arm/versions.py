"""Versions and the container that counts them: latestVersion is the newest that is not archived, nextVersion a number never given out."""

from __future__ import annotations

from lazward.contract.caller import Caller
from lazward.contract.envelope import system_data
from lazward.contract.ids import ResourceId, parse
from lazward.domain.resource import Doc, ResourceType
from lazward.storage import resources
from lazward.storage.db import Tx
from lazward.storage.resources import Row

MAX_COUNTED = 18  # digits; a longer version is a name, not a count


def make_container(tx: Tx, home: Row, container: ResourceType, name: str, caller: Caller, now: float) -> Row:
    """The container of a version that comes first. home: the workspace or registry."""
    doc: Doc = {
        "properties": {"description": None, "isArchived": False, "tags": {}, "properties": {}, "latestVersion": None, "nextVersion": "1", "provisioningState": "Succeeded"},
        "systemData": system_data(caller, now, None),
    }
    return resources.insert(tx, parse(home.id).child(container.collection, name), doc, now)


def count(tx: Tx, declared: ResourceType, container_id: ResourceId, now: float, *, added: str = "") -> None:
    """Brings a container up to date after one of its versions came (added), went, or was archived or restored."""
    container = resources.get(tx, container_id.key)
    if container is None:
        return
    properties = container.properties
    newest, _ = resources.page(tx, declared.key, 1, parent=container.key, newest_first=True, archived=False)
    latest = newest[0].name if newest else None
    following = int(properties.get("nextVersion") or 1)
    if added.isascii() and added.isdecimal() and len(added) <= MAX_COUNTED:
        following = max(following, int(added) + 1)
    if (properties.get("latestVersion"), properties.get("nextVersion")) != (latest, str(following)):
        properties["latestVersion"], properties["nextVersion"] = latest, str(following)
        resources.update(tx, container, now)

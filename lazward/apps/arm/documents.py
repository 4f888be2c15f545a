"""A stored row as the document that clients read."""

from __future__ import annotations

from lazward.contract.ids import parse
from lazward.domain.resource import PRIVATE, Doc, ResourceType
from lazward.storage.resources import Row


def document(declared: ResourceType, row: Row) -> Doc:
    """The resource as answered."""
    rid = parse(row.id)
    public = {k: v for k, v in row.doc.items() if k != PRIVATE}
    doc = {"id": declared.id_of(rid) if declared.id_of else row.id, "name": row.name, "type": f"{declared.provider}/{declared.path}", **public}
    if declared.present:
        doc = {**doc, "properties": dict(row.doc.get("properties") or {})}
        declared.present(doc, rid)
    return doc

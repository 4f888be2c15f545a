"""What the tables say of containers and blobs, as structs; reading them."""

from __future__ import annotations

import secrets
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa

from lazward.contract.errors import ArmError
from lazward.domain.blobs.errors import storage_error
from lazward.storage.db import Tx
from lazward.storage.tables import blob as b
from lazward.storage.tables import block as k
from lazward.storage.tables import container as c

NOT_COMMITTED = ArmError  # raised by a transaction of ours: certainly undone. After other errors the outcome is not known: gc decides
DIRECTORY = "hdi_isfolder"  # metadata that marks a directory, on both endpoints


class BlobKey(NamedTuple):
    account: str
    container: str
    name: str


class BlobInfo(msgspec.Struct):
    """A blob. kind: BlockBlob | AppendBlob | Directory. etag without quotes. extents: [(id, bytes)], empty in listings.
    headers: contentType, contentEncoding, contentLanguage, contentDisposition, cacheControl, contentMD5 (base64), accessTier.
    blocks: ids of committed blocks, one for each extent (not in listings), or the count of appends. created, modified: unix seconds."""

    account: str
    container: str
    name: str
    kind: str
    size: int
    etag: str
    extents: list[tuple[str, int]]
    headers: dict[str, str]
    meta: dict[str, str]
    created: float
    modified: float
    tags: dict[str, str] | None = None
    access: dict[str, str] | None = None
    lease: dict[str, Any] | None = None
    blocks: list[str] | int | None = None

    @property
    def key(self) -> BlobKey:
        return BlobKey(self.account, self.container, self.name)

    @property
    def content_type(self) -> str:
        return self.headers.get("contentType") or "application/octet-stream"


class ContainerInfo(msgspec.Struct):
    account: str
    name: str
    etag: str
    meta: dict[str, str]
    lease: dict[str, Any] | None
    modified: float


_FIRST = ("account", "container", "name", "kind", "size", "etag")
_REST = ("headers", "meta", "created", "modified", "tags", "access", "lease")
_APPENDS = sa.case((b.c.kind == "AppendBlob", b.c.blocks), else_=None).label("appends")  # a number, where block ids would be long
LIGHT = [*(b.c[name] for name in (*_FIRST, *_REST)), _APPENDS]
WHOLE = [*LIGHT, b.c.extents, b.c.blocks]
_CONTAINER = [c.c[name] for name in ContainerInfo.__struct_fields__]


# Built once: SQLAlchemy takes seven times as long to build and recognise such a statement as to run it.
_AT = sa.and_(b.c.account == sa.bindparam("k_account"), b.c.container == sa.bindparam("k_container"), b.c.name == sa.bindparam("k_name"))
_GET, _GET_WHOLE, _GET_EXTENTS = sa.select(*LIGHT).where(_AT), sa.select(*WHOLE).where(_AT), sa.select(b.c.extents).where(_AT)
_CONTAINER_AT = sa.and_(c.c.account == sa.bindparam("k_account"), c.c.name == sa.bindparam("k_container"))
_GET_CONTAINER = sa.select(*_CONTAINER).where(_CONTAINER_AT)
_STAGED_AT = sa.and_(k.c.account == sa.bindparam("k_account"), k.c.container == sa.bindparam("k_container"), k.c.blob == sa.bindparam("k_name"))
_STAGED = sa.select(k.c.extent).where(_STAGED_AT)
_LOOK = (
    sa.select(sa.exists(sa.select(k.c.block_id).where(_STAGED_AT)), *WHOLE)
    .select_from(c.outerjoin(b, sa.and_(b.c.account == c.c.account, b.c.container == c.c.name, b.c.name == sa.bindparam("k_name")))).where(_CONTAINER_AT)
)
_INSERT, _UPDATE = sa.insert(b), sa.update(b).where(_AT)


def params(key: BlobKey) -> dict[str, str]:
    """Values for the parameters of the statements here."""
    return {"k_account": key.account, "k_container": key.container, "k_name": key.name}


def blob_from(row: Any) -> BlobInfo:
    """A row of LIGHT or WHOLE."""
    light, heavy = tuple(row)[:14], tuple(row)[14:]
    info = BlobInfo(*light[:6], [], *light[6:])  # type: ignore[call-arg] - the columns are its fields, in order
    if heavy:
        info.extents = [(id, size) for id, size in heavy[0]]
        info.blocks = heavy[1]
    return info


def at(key: BlobKey) -> sa.ColumnElement[bool]:
    return sa.and_(b.c.account == key.account, b.c.container == key.container, b.c.name == key.name)


def get(tx: Tx, key: BlobKey, *, whole: bool = False) -> BlobInfo | None:
    found = tx.execute(_GET_WHOLE if whole else _GET, params(key)).first()
    return blob_from(found) if found else None


def look(tx: Tx, key: BlobKey) -> tuple[BlobInfo | None, list[str]]:
    """What a write has to know, in one statement if there is no blob yet: the blob, whole, and the extents staged for it. ArmError 404
    when the container is missing."""
    found = tx.execute(_LOOK, params(key)).first()
    if found is None:
        raise storage_error("ContainerNotFound", target=key.container[:80])
    staged = staged_extents(tx, key) if found[0] else []
    return (blob_from(found[1:]) if found.kind is not None else None), staged


def staged_extents(tx: Tx, key: BlobKey) -> list[str]:
    return list(tx.execute(_STAGED, params(key)).scalars())


def store(tx: Tx, info: BlobInfo, *, fresh: bool) -> None:
    """The row as it is, without checks; references to extents are the caller's."""
    values = {name: getattr(info, name) for name in BlobInfo.__struct_fields__}
    if fresh:
        tx.execute(_INSERT, values)
    else:
        tx.execute(_UPDATE, values | params(info.key))


def need(tx: Tx, key: BlobKey, *, whole: bool = False) -> BlobInfo:
    """ArmError 404: of the container when that is what is missing."""
    info = get(tx, key, whole=whole)
    if info is None:
        need_container(tx, key.account, key.container)
        raise storage_error("BlobNotFound", target=key.name[:80])
    return info


def container_at(account: str, name: str) -> sa.ColumnElement[bool]:
    return sa.and_(c.c.account == account, c.c.name == name)


def get_container(tx: Tx, account: str, name: str) -> ContainerInfo | None:
    found = tx.execute(_GET_CONTAINER, {"k_account": account, "k_container": name}).first()
    return ContainerInfo(*found) if found else None


def need_container(tx: Tx, account: str, name: str) -> ContainerInfo:
    found = get_container(tx, account, name)
    if found is None:
        raise storage_error("ContainerNotFound", target=name[:80])
    return found


def extents_of(tx: Tx, key: BlobKey) -> list[tuple[str, int]]:
    found = tx.execute(_GET_EXTENTS, params(key)).scalar_one_or_none()
    return [(id, size) for id, size in found or []]


def new_etag() -> str:
    """Never given twice, so what is cached under it stays right."""
    return "0x" + secrets.token_hex(8).upper()

"""The routes of the two storage endpoints, and the table of operations with what each needs of its caller.

An operation is found by what the path names (account, container, blob), the method, and the parameters restype/resource and
comp/action. What is not in a table does not exist: 501 where Azure has it, 400 otherwise.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from starlette.responses import Response

from lazward.apps.blob import account, append_blob, auth, batch, block_blob, container, copy, dfs
from lazward.apps.blob.auth import Need
from lazward.apps.blob.call import Call, call_of
from lazward.apps.blob.surface import BLOB, DFS
from lazward.apps.chain import Context, Route, Surface, by_handler
from lazward.apps.services import Services
from lazward.domain.blobs.errors import storage_error, unsupported

Handler = Callable[[Call], Awaitable[Response]]
_VERBS = ("GET", "HEAD", "PUT", "POST", "PATCH", "DELETE")


@dataclass(frozen=True)
class Operation:
    """need None: each part of the request proves itself."""

    handler: Handler
    need: Need | None


Table = dict[tuple[str, str], Operation]


async def _put(call: Call) -> Response:
    """PUT of a blob without comp: what it is, is in the headers."""
    if "x-ms-copy-source" in call.headers:
        return await (copy.put_blob_from_url if "x-ms-blob-type" in call.headers else copy.copy_blob)(call)
    return await block_blob.put_blob(call)


async def _block(call: Call) -> Response:
    return await (copy.put_block_from_url if "x-ms-copy-source" in call.headers else block_blob.put_block)(call)


async def _append(call: Call) -> Response:
    return await (copy.append_block_from_url if "x-ms-copy-source" in call.headers else append_blob.append_block)(call)


async def _batch(call: Call) -> Response:
    return await batch.batch(call, partial(run, BATCHED))


ACCOUNT: Table = {
    ("GET", "comp=list"): Operation(container.list_containers, auth.CONTAINERS_LIST),
    ("GET", "restype=service&comp=properties"): Operation(account.get_service_properties, auth.SERVICE_READ),
    ("PUT", "restype=service&comp=properties"): Operation(account.set_service_properties, auth.SERVICE_WRITE),
    ("GET", "restype=account&comp=properties"): Operation(account.get_account_info, auth.SERVICE_READ),
    ("HEAD", "restype=account&comp=properties"): Operation(account.get_account_info, auth.SERVICE_READ),
    ("POST", "restype=service&comp=userdelegationkey"): Operation(account.user_delegation_key, auth.DELEGATE),
    ("POST", "comp=batch"): Operation(_batch, None),
}
CONTAINER: Table = {
    ("PUT", "restype=container"): Operation(container.create_container, auth.CONTAINER_CREATE),
    ("GET", "restype=container"): Operation(container.get_container, auth.CONTAINER_READ),
    ("HEAD", "restype=container"): Operation(container.get_container, auth.CONTAINER_READ),
    ("DELETE", "restype=container"): Operation(container.delete_container, auth.CONTAINER_DELETE),
    ("GET", "restype=container&comp=metadata"): Operation(container.get_container, auth.CONTAINER_READ),
    ("HEAD", "restype=container&comp=metadata"): Operation(container.get_container, auth.CONTAINER_READ),
    ("PUT", "restype=container&comp=metadata"): Operation(container.set_container_metadata, auth.CONTAINER_WRITE),
    ("GET", "restype=container&comp=acl"): Operation(container.get_acl, auth.CONTAINER_READ),
    ("HEAD", "restype=container&comp=acl"): Operation(container.get_acl, auth.CONTAINER_READ),
    ("PUT", "restype=container&comp=acl"): Operation(container.set_acl, auth.CONTAINER_WRITE),
    ("PUT", "restype=container&comp=lease"): Operation(append_blob.lease, auth.CONTAINER_WRITE),
    ("GET", "restype=container&comp=list"): Operation(container.list_blobs, auth.LIST),
    ("GET", "restype=account&comp=properties"): Operation(account.get_account_info, auth.CONTAINER_READ),
    ("HEAD", "restype=account&comp=properties"): Operation(account.get_account_info, auth.CONTAINER_READ),
    ("POST", "restype=container&comp=batch"): Operation(_batch, None),
}
BLOBS: Table = {
    ("GET", ""): Operation(block_blob.get_blob, auth.READ),
    ("HEAD", ""): Operation(block_blob.get_blob, auth.READ),
    ("PUT", ""): Operation(_put, auth.CREATE),
    ("DELETE", ""): Operation(block_blob.delete_blob, auth.DELETE),
    ("PUT", "comp=block"): Operation(_block, auth.CREATE),
    ("PUT", "comp=blocklist"): Operation(block_blob.put_block_list, auth.CREATE),
    ("GET", "comp=blocklist"): Operation(block_blob.get_block_list, auth.READ),
    ("PUT", "comp=appendblock"): Operation(_append, auth.ADD),
    ("PUT", "comp=metadata"): Operation(block_blob.set_metadata, auth.WRITE),
    ("GET", "comp=metadata"): Operation(block_blob.get_metadata, auth.READ),
    ("HEAD", "comp=metadata"): Operation(block_blob.get_metadata, auth.READ),
    ("PUT", "comp=properties"): Operation(block_blob.set_properties, auth.WRITE),
    ("PUT", "comp=tier"): Operation(block_blob.set_tier, auth.WRITE),
    ("PUT", "comp=tags"): Operation(block_blob.set_tags, auth.TAGS),
    ("GET", "comp=tags"): Operation(block_blob.get_tags, auth.READ_TAGS),
    ("PUT", "comp=lease"): Operation(append_blob.lease, auth.WRITE),
    ("PUT", "comp=copy"): Operation(copy.abort_copy, auth.WRITE),
    ("GET", "restype=account&comp=properties"): Operation(account.get_account_info, auth.READ),
    ("HEAD", "restype=account&comp=properties"): Operation(account.get_account_info, auth.READ),
}
BATCHED: Table = {key: BLOBS[key] for key in (("DELETE", ""), ("PUT", "comp=tier"))}
DFS_TABLES: tuple[Table, Table, Table] = tuple({key: Operation(*found) for key, found in level.items()} for level in dfs.table())  # type: ignore[assignment]
# What Azure has and this server has not; named so that the answer can say so.
NOT_BUILT = {
    "comp=snapshot": "Snapshots", "comp=undelete": "Soft delete", "comp=query": "Query of blob contents", "comp=page": "Page blobs",
    "comp=pagelist": "Page blobs", "comp=incrementalcopy": "Page blobs", "comp=immutabilitypolicies": "Immutability policies", "comp=legalhold": "Legal holds",
    "comp=seal": "Sealing of append blobs", "comp=expiry": "Expiry of blobs", "comp=blobs": "Finding blobs by tags", "restype=service&comp=stats": "Replication statistics",
    "restype=container&comp=undelete": "Soft delete of containers", "restype=container&comp=rename": "Renaming containers",
    "restype=container&comp=blobs": "Finding blobs by tags",
}


def word(call: Call) -> str:
    """The parameters that say which operation it is."""
    if call.endpoint == "dfs":
        return dfs.word(call)
    pairs = ((name, call.query.get(name, "").lower()) for name in ("restype", "comp"))
    return "&".join(f"{name}={value}" for name, value in pairs if value)


async def run(table: Table, call: Call) -> Response:
    """One operation: found, proven, carried out."""
    key = (call.method, word(call))
    operation = table.get(key)
    if operation is None:
        await auth.authorize(call, None)  # strangers do not learn what there is
        if what := NOT_BUILT.get(key[1]):
            raise unsupported(what)
        raise storage_error("InvalidQueryParameterValue" if key[1] else "UnsupportedHttpVerb", f"{call.method} with '{key[1]}' is no operation here.")
    await auth.authorize(call, operation.need)
    return await operation.handler(call)


def blob_routes(services: Services) -> list[Route]:
    """Path style, /ACCOUNT.blob.core.windows.net/CONTAINER/BLOB; the chain turns host style into it."""
    how = by_handler("the operation's Need, by signature, account key or role (apps/blob/auth.py)")

    def routes(endpoint: str, surface: Surface, tables: tuple[Table, Table, Table]) -> list[Route]:
        top = rf"/{{account:[a-z0-9]{{3,24}}\.{endpoint}\.core\.windows\.net}}"

        async def handle(ctx: Context) -> Response:
            call = call_of(ctx, endpoint)
            return await run(tables[2 if call.blob else 1 if call.container else 0], call)

        return [Route(_VERBS, pattern, handle, how, surface, services.settings.max_upload_bytes) for pattern in (top, top + "/{container}", top + "/{container}/{blob:path}")]

    return routes("blob", BLOB, (ACCOUNT, CONTAINER, BLOBS)) + routes("dfs", DFS, DFS_TABLES)

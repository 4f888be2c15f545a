"""Who may do what with stored data. Three proofs, tried in order: a signature in the URL, the account's key, a bearer token.

There is no public access. An account that does not exist is answered exactly as a proof that is wrong.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from lazward.apps.blob.call import Call
from lazward.apps.blob.surface import refuse_anonymous
from lazward.contract.caller import Caller
from lazward.contract.errors import ArmError
from lazward.contract.ids import ML
from lazward.domain.blobs.errors import storage_error
from lazward.identity import sas
from lazward.identity.sas import Grant, SignatureError
from lazward.storage import accounts

_SERVICES = "Microsoft.Storage/storageAccounts/blobServices"
# Who may fetch the key of an account may do what the key does.
_MAY_FETCH_KEY = f"{ML}/workspaces/datastores/listSecrets/action"
_KNOWN_FOR = 10.0  # seconds that an account's workspace is remembered


@dataclass(frozen=True)
class Need:
    """What an operation asks of its caller.

    letters: permissions of a signature, any of which will do; level: s(ervice), c(ontainer) or o(bject), as an account signature names
    it; right: below Microsoft.Storage/storageAccounts/blobServices, a data action when it is about blobs; service_sas: whether a
    signature for one container or blob can do it.
    """

    letters: str
    level: str
    right: str
    service_sas: bool = True

    def __post_init__(self) -> None:
        if not self.letters or self.level not in ("s", "c", "o") or not self.right:
            raise ValueError("an operation must say what it needs")


READ = Need("r", "o", "containers/blobs/read")
WRITE = Need("w", "o", "containers/blobs/write")
CREATE = Need("cw", "o", "containers/blobs/write")
ADD = Need("aw", "o", "containers/blobs/write")
DELETE = Need("d", "o", "containers/blobs/delete")
LIST = Need("l", "c", "containers/blobs/read")
FOLDER = Need("cw", "o", "containers/blobs/write")
TAGS = Need("t", "o", "containers/blobs/tags/write")
READ_TAGS = Need("t", "o", "containers/blobs/tags/read")
CONTAINER_READ = Need("r", "c", "containers/read", service_sas=False)
CONTAINER_WRITE = Need("w", "c", "containers/write", service_sas=False)
CONTAINER_CREATE = Need("cw", "c", "containers/write", service_sas=False)
CONTAINER_DELETE = Need("d", "c", "containers/delete", service_sas=False)
CONTAINERS_LIST = Need("l", "s", "containers/read", service_sas=False)
SERVICE_READ = Need("r", "s", "read", service_sas=False)
SERVICE_WRITE = Need("w", "s", "write", service_sas=False)
DELEGATE = Need("-", "s", "generateUserDelegationKey/action", service_sas=False)  # a bearer's alone: no signature has this letter


@dataclass(frozen=True)
class Proof:
    """kind: sas | key | bearer. scope: resource id of the workspace or registry that has the account."""

    kind: str
    scope: str
    grant: Grant | None = None
    caller: Caller | None = None


async def authorize(call: Call, need: Need | None) -> Proof:
    """Lets the request through, or raises. Marks the call create_only where the proof lets nothing be overwritten. need None: who can
    do anything at all with the account's data, for what asks each of its parts again or does nothing."""
    proof = await prove(call)
    if need is None:
        if proof.caller is not None:
            await _check_any_right(call, proof.caller, proof.scope)
    else:
        await check(call, proof, need)
        call.create_only = proof.grant is not None and need.letters == "cw" and "w" not in proof.grant.permissions
    call.proof, call.grant = proof.kind, proof.grant
    call.ctx.allow(f"storage {proof.kind}", proof.caller)
    return proof


async def prove(call: Call) -> Proof:
    for authenticator in AUTHENTICATORS:
        proof = await authenticator(call)
        if proof is not None:
            return proof
    raise refuse_anonymous()


async def check(call: Call, proof: Proof, need: Need) -> None:
    """ArmError 403 when the proof does not go as far as the need."""
    if proof.grant is not None:
        _check_grant(proof.grant, need)
    if proof.caller is not None:  # a bearer, or who made the user delegation key
        await _check_rights(call, proof.caller, proof.scope, need)


# ---- the three proofs -------------------------------------------------------------------------------------------------------


async def by_signature(call: Call) -> Proof | None:
    if "sig" not in call.query:
        return None
    grant = verify_query(call, call.account, call.container, _signed_path(call), call.query)
    scope = await scope_of(call, call.account)
    if scope is None:
        raise SignatureError("Signature did not match.")
    return Proof("sas", scope, grant, delegator(grant))


async def by_key(call: Call) -> Proof | None:
    authorization = call.headers.get("authorization", "")
    if authorization.partition(" ")[0].lower() not in ("sharedkey", "sharedkeylite"):
        return None
    # In path style the SDK takes the first piece of the path for the account's name.
    names = {call.account, f"{call.account}.blob.core.windows.net", f"{call.account}.dfs.core.windows.net"}
    sas.verify_shared_key(
        authorization, _key(call, call.account), names, method=call.method, raw_path=call.raw_path, query=call.query_items, headers=call.headers, now=call.now,
    )
    scope = await scope_of(call, call.account)
    if scope is None:
        raise SignatureError("The MAC signature found in the HTTP request is not the same as any computed signature.")
    return Proof("key", scope)


async def by_token(call: Call) -> Proof | None:
    authorization = call.headers.get("authorization")
    if not authorization:
        return None
    caller = await call.ctx.authenticate()
    scope = await scope_of(call, call.account)
    if scope is None:
        raise storage_error("AuthorizationPermissionMismatch")
    return Proof("bearer", scope, caller=caller)


AUTHENTICATORS: tuple[Callable[[Call], Awaitable[Proof | None]], ...] = (by_signature, by_key, by_token)


# ---- pieces ---------------------------------------------------------------------------------------------------------------------


def verify_query(call: Call, account: str, container: str, path: str, query: Mapping[str, str]) -> Grant:
    """The grant of the signature in a query, for a resource of this or another account."""
    client = call.ctx.request.client
    master = call.ctx.services.master_key
    return sas.verify_sas(
        query, _spellings(call, account), container, path, now=call.now, scheme=call.ctx.request.scope["scheme"], ip=client.host if client else "",
        key=_key(call, account), delegated=lambda facts: sas.delegation_key(master, account, facts),
    )


def delegator(grant: Grant) -> Caller | None:
    """Who made the user delegation key: the signature goes no further than their rights of today."""
    return Caller(id=grant.oid, name=grant.oid, tenant=grant.tenant) if grant.kind == "delegation" else None


async def scope_of(call: Call, account: str) -> str | None:
    remembered = call.ctx.services.scopes
    found = remembered.get(account)
    if found is None or found[1] < call.now or found[0] is None:
        if len(remembered) > 10_000:
            remembered.clear()
        found = remembered[account] = (await call.ctx.db.read(accounts.scope_of, account), call.now + _KNOWN_FOR)
    return found[0]


def _spellings(call: Call, account: str) -> list[str]:
    """Names that the SDK signs an account under: its own; the first piece of the path in path style; and HOST:PORT/ACCOUNT, which
    datastores of ours name as the account. Only our own hosts are taken for that."""
    hosts = call.ctx.services.blob_hosts
    return [account, f"{account}.blob.core.windows.net", f"{account}.dfs.core.windows.net", *(f"{host}/{account}" for host in sorted(hosts))]


def _signed_path(call: Call) -> str:
    """The path a signature has to cover: of a listing, the folder that is listed."""
    if call.blob or not call.container:
        return call.blob
    return call.query.get("directory", "") if call.endpoint == "dfs" else call.query.get("prefix", "").rpartition("/")[0]


def _check_grant(grant: Grant, need: Need) -> None:
    if grant.kind == "account":
        if need.level not in grant.resource_types:
            raise storage_error("AuthorizationResourceTypeMismatch")
    elif not need.service_sas:
        raise storage_error("AuthorizationResourceTypeMismatch", "A signature for a container or blob does not cover this operation.")
    elif need.level == "c" and grant.scope == "blob":
        raise storage_error("AuthorizationResourceTypeMismatch", "A signature for a blob does not cover its container.")
    if not set(need.letters) & set(grant.permissions):
        raise storage_error("AuthorizationPermissionMismatch", f"The signature has the permissions '{grant.permissions}', the operation needs one of '{need.letters}'.")


async def _check_rights(call: Call, caller: Caller, scope: str, need: Need) -> None:
    allowed = call.ctx.services.authority.allowed
    if await allowed(caller, f"{_SERVICES}/{need.right}", scope, data=need.right.startswith("containers/blobs/")):
        return
    if await allowed(caller, _MAY_FETCH_KEY, scope):
        return
    raise storage_error("AuthorizationPermissionMismatch", f"'{caller.name or caller.id}' has neither {_SERVICES}/{need.right} nor the right to fetch the account's key.")


async def _check_any_right(call: Call, caller: Caller, scope: str) -> None:
    for need in (READ, WRITE):
        try:
            return await _check_rights(call, caller, scope, need)
        except ArmError:
            continue
    await _check_rights(call, caller, scope, DELETE)


def _key(call: Call, account: str) -> str:
    return _derived(call.ctx.services.master_key, account)


@functools.lru_cache(maxsize=256)
def _derived(master: bytes, account: str) -> str:
    return sas.account_key(master, account)



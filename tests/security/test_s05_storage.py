"""S5: the stored data of a workspace, its account's key and signatures. More of it: tests/apps/blob/test_auth.py, test_copy.py."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from azure.storage.blob import UserDelegationKey, generate_blob_sas, generate_container_sas

from lazward.contract.errors import ArmError
from lazward.contract.ids import ML
from lazward.domain.rbac_roles import DATA_SCIENTIST
from lazward.identity.sas import sign_blob_sas
from lazward.orchestration.data import locate
from lazward.storage import access, resources
from tests.control_plane import versioned
from tests.security.site import STORAGE, Site, guid

SCIENTIST = "AzureML Data Scientist"  # may write nearly everything in `own`, and nothing elsewhere


def test_s5_a_datastore_that_names_another_account_does_not_give_its_key(site: Site):
    """Who may write datastores could once have the key of every workspace's account."""
    token = site.token(SCIENTIST)
    for other in (site.other, site.far, site.registry):
        account = site.account(other)
        for name in (account, account.upper(), f"localhost:8443/{account}", f"x/{account}"):
            for credentials in ({"credentialsType": "AccountKey"}, {"credentialsType": "AccountKey", "secrets": {"secretsType": "AccountKey", "key": "bW9ja2VkLWtleQ=="}}, {"credentialsType": "Sas"}):
                store = f"{site.own}/datastores/s{guid().replace('-', '_')}"
                body = {"datastoreType": "AzureBlob", "accountName": name, "containerName": "c", "credentials": credentials}
                site.plane.put(store, {"properties": body}, token=token)
                told = site.plane.send("POST", versioned(f"{store}/listSecrets"), {}, token=token)
                assert site.key_of(other) not in told.body.decode(), (name, credentials)
                home = site.plane.db.read_now(resources.get, site.own)
                assert home is not None
                with pytest.raises(ArmError) as refused:
                    site.plane.db.read_now(locate, home, f"azureml://datastores/{store.rsplit('/', 1)[-1]}/paths/x")
                assert refused.value.code == "CrossWorkspaceAccess"
    own = site.plane.send("POST", versioned(f"{site.own}/datastores/workspaceblobstore/listSecrets"), {}, token=token)
    assert own.json == {"secretsType": "AccountKey", "key": site.key_of(site.own)}


def test_s5_a_workspace_does_not_choose_its_storage_account(site: Site):
    named = f"{site.group}/providers/Microsoft.Storage/storageAccounts/{site.account(site.other)}"
    wanted = {"storageAccount": named, "workspaceId": site.plane.get(site.other)["properties"]["workspaceId"], "lookup": "x"}
    made = site.plane.put(f"{site.group}/providers/{ML}/workspaces/greedy", {"properties": wanted, "lazward": {"x": 1}})
    assert made["properties"]["storageAccount"] != named and made["properties"]["workspaceId"] != wanted["workspaceId"]


def test_s5_a_signature_opens_the_account_it_was_made_for_only(site: Site):
    site.put_blob(site.other, "data/d/x", b"theirs")
    account = site.account(site.other)
    for key, name in ((site.key_of(site.own), account), (site.key_of(site.own), site.account(site.own)), (site.key_of(site.other), site.account(site.own))):
        sas = sign_blob_sas(key, name, "data", "d/x", permissions="r", expires=2e9)
        answer = site.plane.send("GET", f"/{account}.blob.core.windows.net/data/d/x?{sas}", token="")
        assert answer.status == 403 and b"theirs" not in answer.body
    good = sign_blob_sas(site.key_of(site.other), account, "data", "d/x", permissions="r", expires=2e9)
    assert site.plane.send("GET", f"/{account}.blob.core.windows.net/data/d/x?{good}", token="").body == b"theirs"


def test_s5_copies_and_renames_read_only_what_the_caller_may_read(site: Site):
    site.put_blob(site.other, "data/d/x", b"theirs")
    site.put_blob(site.own, "data/mine", b"mine")
    token, source = site.token(SCIENTIST, STORAGE), f"https://localhost:8443/{site.account(site.other)}.blob.core.windows.net/data/d/x"
    for more in ({}, {"x-ms-blob-type": "BlockBlob"}, {"x-ms-copy-source-authorization": f"Bearer {token}"}, {"x-ms-copy-source-authorization": f"Bearer {site.token('boss')}"}):
        answer = site.blob("PUT", site.own, "data/copied", b"", token=token, headers={"x-ms-copy-source": source, **more})
        assert answer.status == 403, more  # the last: a token for another service, though of somebody who may
    for path in ("data/copied?comp=block&blockid=YQ==", "data/copied?comp=appendblock"):
        assert site.blob("PUT", site.own, path, b"", token=token, headers={"x-ms-copy-source": source}).status in (403, 404)
    for renamed in ("/data/d/x", f"/{site.account(site.other)}.dfs.core.windows.net/data/d/x", "/../data/d/x"):
        answer = site.blob("PUT", site.own, "data/copied", b"", token=token, headers={"x-ms-rename-source": renamed}, kind="dfs")
        assert answer.status in (400, 404), renamed
    assert site.blob("GET", site.own, "data/copied", token=token).status == 404


# ---- user delegation signatures ------------------------------------------------------------------------------------------------


def delegated(site: Site, person: str, container: str, blob: str, permissions: str) -> str:
    """A signature for a blob ("" = the whole container), made by the real client with a user delegation key of that person."""
    begin, end = datetime.now(UTC) - timedelta(minutes=5), datetime.now(UTC) + timedelta(hours=1)
    stamp = "%Y-%m-%dT%H:%M:%SZ"
    asked = f"<?xml version='1.0'?><KeyInfo><Start>{begin.strftime(stamp)}</Start><Expiry>{end.strftime(stamp)}</Expiry></KeyInfo>".encode()
    answer = site.blob("POST", site.own, "?restype=service&comp=userdelegationkey", asked, token=site.token(person, STORAGE))
    assert answer.status == 200, answer.body
    text, key = answer.body.decode(), UserDelegationKey()
    for tag in ("SignedOid", "SignedTid", "SignedStart", "SignedExpiry", "SignedService", "SignedVersion", "Value"):
        setattr(key, re.sub(r"(?<=[a-z])([A-Z])", r"_\1", tag).lower(), text.split(f"<{tag}>")[1].split("<")[0])
    account, more = site.account(site.own), {"user_delegation_key": key, "permission": permissions, "expiry": end}
    return generate_blob_sas(account, container, blob, **more) if blob else generate_container_sas(account, container, **more)


def test_s5_a_user_delegation_signature_ends_with_the_rights_of_who_made_it(site: Site):
    site.put_blob(site.own, "data/d/x", b"mine")
    place = f"/{site.account(site.own)}.blob.core.windows.net/data/d/x"
    maker = site.principal("maker", DATA_SCIENTIST, site.own)
    sas = delegated(site, "maker", "data", "d/x", "r")

    def status() -> int:
        return site.plane.send("GET", f"{place}?{sas}", token="").status

    def change(fn: Any, *args: Any) -> None:
        site.plane.db.write_now(lambda tx: (fn(tx, *args), site.authority.changed(tx)))

    assert status() == 200
    assert site.plane.send("GET", f"/{site.account(site.other)}.blob.core.windows.net/data/d/x?{sas}", token="").status == 403
    change(access.set_enabled, maker.id, False, site.plane.clock())
    assert status() == 403
    change(access.set_enabled, maker.id, True, site.plane.clock())
    assert status() == 200
    [given] = [a for a in site.plane.db.read_now(access.assignments) if a.principal == maker.id]
    change(access.unassign, given.id, site.plane.clock())
    assert status() == 403


def test_s5_a_move_by_signature_takes_the_right_to_delete_of_who_made_it(site: Site):
    """The letters of a signature are chosen by its maker; they do not stand for rights the maker has not."""
    site.put_blob(site.own, "data/d/kept", b"kept")
    role = {"properties": {
        "roleName": f"adder {guid()}", "assignableScopes": [site.own],
        "permissions": [{"actions": ["Microsoft.Storage/storageAccounts/blobServices/generateUserDelegationKey/action"], "dataActions": ["Microsoft.Storage/storageAccounts/blobServices/containers/blobs/write"]}],
    }}
    role_id = guid()
    site.plane.put(f"{site.own}/providers/Microsoft.Authorization/roleDefinitions/{role_id}", role)
    site.principal("adder", role_id, site.own)
    place, headers = f"/{site.account(site.own)}.dfs.core.windows.net/data/d/moved", {"x-ms-rename-source": "/data/d/kept", "x-ms-version": "2023-11-03"}
    for person, status in (("adder", 403), ("boss", 201)):
        answer = site.plane.send("PUT", f"{place}?{delegated(site, person, 'data', '', 'rcwdm')}", b"", token="", headers=headers)
        assert answer.status == status, (person, answer.body)

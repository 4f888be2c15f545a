"""S4, S5: every operation asks who calls, and nothing but the proof decides."""

import pytest

from lazward.apps.blob import auth
from lazward.apps.blob.auth import Need
from lazward.apps.blob.routes import ACCOUNT as ACCOUNT_TABLE
from lazward.apps.blob.routes import BLOBS, CONTAINER, DFS_TABLES, NOT_BUILT
from lazward.identity import sas
from tests.live import ACCOUNT, WORKSPACE, add_workspace

DATA = "Microsoft.Storage/storageAccounts/blobServices/containers"
LEVELS = [("blob", "/", ACCOUNT_TABLE), ("blob", "/cont", CONTAINER), ("blob", "/cont/b", BLOBS)]
LEVELS += [("dfs", path, table) for path, table in zip(("/", "/cont", "/cont/b"), DFS_TABLES, strict=True)]
EVERY = [(endpoint, method, f"{path}?{word}" if word else path) for endpoint, path, table in LEVELS for method, word in table]


class TestEveryOperation:
    @pytest.mark.parametrize(("endpoint", "method", "path"), EVERY)
    async def test_refuses_strangers(self, raw, endpoint, method, path):
        await raw.store.put(ACCOUNT, "cont", "b", b"1")
        raw.authority.add("nothing")
        raw.authority.add("elsewhere", "*", scope=WORKSPACE + "-other")
        foreign = sas.account_key(b"another master key", ACCOUNT)
        signed = raw.signed("/cont/other", "racwdlt")
        joined = "&" if "?" in path else "?"
        answers = {
            "anonymous": await raw(method, path, endpoint=endpoint, key=None),
            "foreign key": await raw(method, path, endpoint=endpoint, key=foreign),
            "no roles": await raw(method, path, endpoint=endpoint, key=None, authorization="Bearer nothing"),
            "roles elsewhere": await raw(method, path, endpoint=endpoint, key=None, authorization="Bearer elsewhere"),
            "unknown token": await raw(method, path, endpoint=endpoint, key=None, authorization="Bearer x"),
            "signature for another blob": await raw(method, path + joined + signed, endpoint=endpoint, key=None),
            "another account": await raw(method, path, endpoint=endpoint, account="lzunknown"),
        }
        assert {who: answer.status_code for who, answer in answers.items() if answer.status_code not in (401, 403)} == {}
        assert (await raw.store.list(ACCOUNT, "cont")).blobs[0].size == 1

    def test_says_what_it_needs(self):
        for _, _, table in LEVELS:
            for key, operation in table.items():
                assert operation.need is not None or "comp=batch" in key[1]
        with pytest.raises(ValueError):
            Need("", "o", "x")

    @pytest.mark.parametrize("path", ["/cont/b?comp=unheard", "/cont/b?comp=snapshot", "/cont?restype=container&comp=undelete", "/?comp=blobs"])
    async def test_what_there_is_not_is_not_told_to_strangers(self, raw, path):
        assert (await raw("PUT", path, key=None)).status_code == 401
        assert (await raw("PUT", path)).status_code in (400, 501)

    def test_what_is_not_built_is_in_no_table(self):
        for word in NOT_BUILT:
            assert not [key for _, _, table in LEVELS[:3] for key in table if key[1] == word]


class TestAccounts:
    async def test_one_that_is_not_there_looks_like_a_wrong_proof(self, raw):
        for kwargs in ({"key": None}, {"key": sas.account_key(b"m" * 32, "lzunknown")}, {"key": sas.account_key(b"x" * 32, "lzunknown")}):
            there = await raw("GET", "/cont/b", **{**kwargs, "key": kwargs["key"] and sas.account_key(b"y", ACCOUNT)})
            missing = await raw("GET", "/cont/b", account="lzunknown", **kwargs)
            assert (there.status_code, there.headers["x-ms-error-code"]) == (missing.status_code, missing.headers["x-ms-error-code"])

    async def test_a_deleted_workspace_takes_its_account_with_it(self, raw, db, monkeypatch):
        import sqlalchemy as sa

        from lazward.storage.tables import resource

        await raw.store.put(ACCOUNT, "cont", "b", b"1")
        assert (await raw("GET", "/cont/b")).status_code == 200
        db.write_now(lambda tx: tx.execute(sa.delete(resource)))
        start = raw.services.now()
        raw.services.now = lambda: start + auth._KNOWN_FOR + 1
        assert (await raw("GET", "/cont/b")).status_code == 403

    async def test_each_has_its_own(self, raw, db):
        add_workspace(db, WORKSPACE + "2", "lzother")
        await raw.store.ensure_container("lzother", "cont")
        await raw.store.put("lzother", "cont", "b", b"theirs")
        assert (await raw("GET", "/cont/b", account="lzother")).status_code == 403  # our key on their account
        assert (await raw("GET", "/cont/b?" + raw.signed("/cont/b", "r"), key=None, account="lzother")).status_code == 403
        raw.authority.add("mine", "*")
        assert (await raw("GET", "/cont/b", key=None, account="lzother", authorization="Bearer mine")).status_code == 403


class TestProofs:
    async def test_errors_say_what_is_wrong(self, raw):
        answer = await raw("GET", "/cont/b", key=sas.account_key(b"x", ACCOUNT))
        assert (answer.status_code, answer.headers["x-ms-error-code"]) == (403, "AuthenticationFailed")
        assert "<AuthenticationErrorDetail>" in answer.text
        assert answer.headers["content-type"] == "application/xml"

    async def test_old_requests_are_refused(self, raw):
        answer = await raw("GET", "/cont/b", x_ms_date="Mon, 01 Jan 2024 00:00:00 GMT")
        assert "too old" in answer.text

    async def test_a_listing_with_a_folders_signature(self, raw):
        await raw.store.put(ACCOUNT, "cont", "d/x", b"1")
        await raw.store.put(ACCOUNT, "cont", "d2/x", b"1")
        query = raw.signed("/cont/d", "rl", resource="d")
        assert "<Name>d/x</Name>" in (await raw("GET", f"/cont?restype=container&comp=list&prefix=d/&{query}", key=None)).text
        for prefix in ("", "&prefix=d", "&prefix=d2/", "&prefix=dd/", "&prefix=/d/"):
            assert (await raw("GET", f"/cont?restype=container&comp=list{prefix}&{query}", key=None)).status_code == 403

    async def test_response_headers_of_a_signature(self, raw):
        await raw.store.put(ACCOUNT, "cont", "b", b"1")
        query = raw.signed("/cont/b", "r", overrides={"rsct": "text/csv", "rscd": "attachment"})
        answer = await raw("GET", f"/cont/b?{query}", key=None)
        assert (answer.headers["content-type"], answer.headers["content-disposition"]) == ("text/csv", "attachment")

    async def test_a_runs_token_gets_no_delegation_key(self, raw):
        raw.authority.add("run", "*", run="run-1")
        answer = await raw("POST", "/?restype=service&comp=userdelegationkey", key=None, authorization="Bearer run", body=b"<KeyInfo><Expiry>2099-01-01T00:00:00Z</Expiry></KeyInfo>")
        assert answer.status_code == 403

    @pytest.mark.parametrize("host", ["evil.example:8443", "localhost:9999"])
    async def test_signatures_for_other_hosts_names(self, raw, host):
        await raw.store.put(ACCOUNT, "cont", "b", b"1")
        signed = sas.sign_blob_sas(sas.account_key(b"m" * 32, ACCOUNT), f"{host}/{ACCOUNT}", "cont", "b", permissions="r", expires=raw.services.now() + 60)
        assert (await raw("GET", f"/cont/b?{signed}", key=None)).status_code == 403

    async def test_the_host_header_decides_nothing(self, raw):
        """S8."""
        await raw.store.put(ACCOUNT, "cont", "b", b"1")
        signed = sas.sign_blob_sas(sas.account_key(b"m" * 32, ACCOUNT), f"evil.example/{ACCOUNT}", "cont", "b", permissions="r", expires=raw.services.now() + 60)
        assert (await raw("GET", f"/cont/b?{signed}", key=None, host="evil.example")).status_code == 421
        assert (await raw("GET", f"/cont/b?{signed}", key=None, host=f"{ACCOUNT}.blob.core.evil.example")).status_code == 421

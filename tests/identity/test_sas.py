"""The oracle is the real client: what it signs is accepted, and nothing else."""

import base64
from datetime import UTC, datetime
from email.utils import formatdate
from unittest import mock
from urllib.parse import parse_qsl, quote

import pytest
from azure.storage.blob import UserDelegationKey, generate_account_sas, generate_blob_sas, generate_container_sas
from azure.storage.filedatalake import generate_directory_sas
from hypothesis import given
from hypothesis import strategies as st

from lazward.contract.errors import ArmError
from lazward.identity import sas

MASTER = b"k" * 32
ACCOUNT = "lz0123456789abcdef0123"
KEY = sas.account_key(MASTER, ACCOUNT)
NOW = 1_800_000_000.0
LATER, EARLIER = datetime.fromtimestamp(NOW + 3600, UTC), datetime.fromtimestamp(NOW - 3600, UTC)
CLIENT_VERSION = dict(parse_qsl(generate_blob_sas(ACCOUNT, "c", "b", account_key=KEY, permission="r", expiry=datetime.fromtimestamp(NOW, UTC))))["sv"]
NAMES = [ACCOUNT, f"{ACCOUNT}.blob.core.windows.net", f"localhost:8443/{ACCOUNT}"]


def verify(token, container="c", blob="b", *, accounts=NAMES, now=NOW, scheme="https", ip="10.0.0.7", key=KEY, master=MASTER, **changed):
    query = {**dict(parse_qsl(token, keep_blank_values=True)), **changed}
    return sas.verify_sas(query, accounts, container, blob, now=now, scheme=scheme, ip=ip, key=key, delegated=lambda facts: sas.delegation_key(master, ACCOUNT, facts))


def refusal(*args, **kwargs):
    with pytest.raises(ArmError) as caught:
        verify(*args, **kwargs)
    assert caught.value.status == 403
    return caught.value


def blob_sas(account=ACCOUNT, **kwargs):
    return generate_blob_sas(account, "c", "b", account_key=KEY, **{"permission": "r", "expiry": LATER, **kwargs})


def test_a_key_is_64_bytes_of_base64_and_each_account_has_its_own():
    assert len(base64.b64decode(KEY)) == 64
    assert KEY != sas.account_key(MASTER, "lz1") != sas.account_key(b"x" * 32, "lz1")


class TestClientMade:
    @pytest.mark.parametrize("account", NAMES)
    def test_a_blob_signature_under_each_spelling_of_the_account(self, account):
        grant = verify(blob_sas(account))
        assert (grant.kind, grant.scope, grant.permissions) == ("service", "blob", "r")

    @pytest.mark.parametrize("account", ["localhost:9999/" + ACCOUNT, "evil.example:8443/" + ACCOUNT, "lzffff", ""])
    def test_other_spellings_are_refused(self, account):
        assert "did not match" in refusal(blob_sas(account)).detail

    def test_a_container_signature_holds_for_what_is_in_it(self):
        token = generate_container_sas(ACCOUNT, "c", account_key=KEY, permission="rl", expiry=LATER)
        assert verify(token, "c", "any/thing").scope == "container"
        assert verify(token, "c", "").permissions == "rl"
        refusal(token, "c2", "b")
        refusal(token, "", "")

    def test_a_directory_signature_holds_below_it(self):
        token = generate_directory_sas(ACCOUNT, "c", "d/e", KEY, permission="r", expiry=LATER)
        assert verify(token, "c", "d/e/f/g").scope == "directory"
        assert verify(token, "c", "d/e").scope == "directory"
        for path in ("d/ex/f", "d", "", "x/d/e"):
            refusal(token, "c", path)

    def test_an_account_signature(self):
        token = generate_account_sas(ACCOUNT, KEY, "sco", "rwl", LATER)
        grant = verify(token, "", "")
        assert (grant.kind, grant.resource_types, grant.permissions) == ("account", "sco", "rwl")
        assert refusal(token.replace("ss=b", "ss=q"), "", "").code == "AuthenticationFailed"

    def test_a_user_delegation_signature_and_its_owner(self):
        facts = {"skoid": "oid-1", "sktid": "tid-1", "skt": "2027-01-15T00:00:00Z", "ske": "2027-01-16T00:00:00Z", "sks": "b", "skv": "2023-11-03"}
        key = UserDelegationKey()
        key.signed_oid, key.signed_tid, key.signed_start, key.signed_expiry, key.signed_service, key.signed_version = facts.values()
        key.value = sas.delegation_key(MASTER, ACCOUNT, facts)
        token = generate_blob_sas(ACCOUNT, "c", "b", user_delegation_key=key, permission="r", expiry=LATER)
        grant = verify(token)
        assert (grant.kind, grant.oid, grant.tenant) == ("delegation", "oid-1", "tid-1")
        for name in facts:
            refusal(token, **{name: "2027-01-17T00:00:00Z"})
        refusal(token, master=b"other" * 8)
        assert "delegation key" in refusal(token, now=NOW + 2 * 86400).detail

    def test_response_headers_can_be_set_and_are_signed(self):
        token = blob_sas(content_type="text/plain", content_disposition="attachment; filename=a b.txt")
        assert verify(token).overrides == {"content-type": "text/plain", "content-disposition": "attachment; filename=a b.txt"}
        refusal(token, rsct="text/html")
        refusal(blob_sas(), rsct="text/html")


class TestLimits:
    def test_time(self):
        token = blob_sas(start=EARLIER)
        verify(token)
        assert "time frame" in refusal(token, now=NOW + 3600).detail
        assert "time frame" in refusal(token, now=NOW - 3601).detail

    def test_address(self):
        assert verify(blob_sas(ip="10.0.0.7"))
        assert verify(blob_sas(ip="10.0.0.1-10.0.0.9"))
        assert refusal(blob_sas(ip="10.0.0.8")).code == "AuthorizationSourceIPMismatch"
        assert refusal(blob_sas(ip="10.0.0.1-10.0.0.9"), ip="::7").code == "AuthorizationSourceIPMismatch"
        assert refusal(blob_sas(ip="0.0.0.0-0.0.0.9"), ip="::5").code == "AuthorizationSourceIPMismatch"

    def test_protocol(self):
        assert verify(blob_sas(protocol="https"))
        assert verify(blob_sas(protocol="https,http"), scheme="http")
        assert refusal(blob_sas(protocol="https"), scheme="http").code == "AuthorizationProtocolMismatch"

    @pytest.mark.parametrize(("name", "value"), [
        ("sp", "racwdl"), ("se", "2099-01-01T00:00:00Z"), ("st", "2020-01-01T00:00:00Z"), ("sr", "c"), ("sip", "1.2.3.4"), ("spr", "http"), ("sv", "2021-12-02"),
        ("sv", "2018-03-28"), ("sig", ""), ("sig", "A" * 44), ("si", "policy"), ("srt", "sco"), ("skoid", "x"), ("ses", "x"), ("sdd", "0"), ("rscc", "public"),
        ("se", ""), ("sv", ""), ("sv", "1999-01-01"), ("sp", "r\nx"), ("saoid", "x"), ("sduoid", "x"), ("srh", "x-ms-y"),
    ])
    def test_nothing_in_it_can_be_changed(self, name, value):
        refused = name == "sdd"  # means nothing in a signature for a blob
        token = blob_sas(protocol="https", ip="10.0.0.7")
        if refused:
            verify(token, **{name: value})
        else:
            refusal(token, **{name: value})

    def test_it_is_for_one_blob_of_one_account(self):
        token = blob_sas()
        refusal(token, "c", "b2")
        refusal(token, "c2", "b")
        refusal(token, "c", "b/c")
        refusal(token, "c", "")
        refusal(token, key=sas.account_key(MASTER, "lzother"))

    @given(st.dictionaries(st.sampled_from(["sv", "sp", "se", "sr", "sig", "st", "spr", "sip", "srt", "ss", "skoid", "sktid", "ske", "sdd"]), st.text(max_size=12)))
    def test_no_made_up_query_gets_in_or_breaks_anything(self, query):
        with pytest.raises(ArmError) as caught:
            sas.verify_sas(query, NAMES, "c", "b", now=NOW, scheme="https", ip="1.2.3.4", key=KEY, delegated=lambda facts: sas.delegation_key(MASTER, ACCOUNT, facts))
        assert caught.value.status == 403


class TestOurs:
    @given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20), st.text("racwdl", min_size=1))
    def test_what_is_made_here_is_what_the_client_makes(self, blob, permissions):
        stamp = datetime.fromtimestamp(NOW + 60, UTC)
        with mock.patch.object(sas, "SIGNED_VERSION", CLIENT_VERSION):  # which the client at hand signs for; the rules are the same
            ours = dict(parse_qsl(sas.sign_blob_sas(KEY, ACCOUNT, "c", blob, permissions=permissions, expires=NOW + 60)))
        assert ours == dict(parse_qsl(generate_blob_sas(ACCOUNT, "c", blob, account_key=KEY, permission=ours["sp"], expiry=stamp, protocol="https")))

    def test_container_directory_and_limits(self):
        assert verify(sas.sign_blob_sas(KEY, ACCOUNT, "c", permissions="rl", expires=NOW + 9), "c", "x").scope == "container"
        token = sas.sign_blob_sas(KEY, ACCOUNT, "c", "d/e/", permissions="r", expires=NOW + 9, resource="d", start=NOW - 9, ip="10.0.0.7", overrides={"rsct": "a/b"})
        assert verify(token, "c", "d/e/f").overrides == {"content-type": "a/b"}
        refusal(token, "c", "d/f")
        refusal(token, "c", "d/e/f", scheme="http")
        assert verify(sas.sign_blob_sas(KEY, ACCOUNT, "c", "b", permissions="r", expires=NOW + 9, https_only=False), scheme="http")

    def test_the_query_survives_a_url(self):
        assert quote(sas.sign_blob_sas(KEY, ACCOUNT, "c", "b", permissions="r", expires=NOW + 9), safe="=&%") == sas.sign_blob_sas(KEY, ACCOUNT, "c", "b", permissions="r", expires=NOW + 9)


HEADERS = {"x-ms-date": formatdate(NOW, usegmt=True), "x-ms-version": "2023-11-03", "content-length": "5", "content-type": "text/plain", "x-ms-meta-a_b": "1", "x-ms-meta-a1": "2", "x-ms-meta-ab": "é"}
CALL = {"method": "PUT", "raw_path": "/c/b%20c", "query": [("comp", "metadata"), ("timeout", "3")]}


class TestSharedKey:
    def check(self, authorization, *, accounts=(ACCOUNT,), headers=None, now=NOW, **changed):
        sas.verify_shared_key(authorization, KEY, accounts, headers=headers or HEADERS, now=now, **{**CALL, **changed})

    def refused(self, authorization, **changed):
        with pytest.raises(sas.SignatureError) as caught:
            self.check(authorization, **changed)
        assert (caught.value.status, caught.value.code) == (403, "AuthenticationFailed")
        return caught.value.detail

    def signed(self, account=ACCOUNT, key=KEY):
        return sas.sign_shared_key(key, account, headers=HEADERS, **CALL)

    def test_good(self):
        self.check(self.signed())

    @pytest.mark.parametrize("order", sas._HEADER_ORDERS)
    def test_every_clients_order_of_headers(self, order):
        text = sas._shared_key_string(ACCOUNT, CALL["method"], CALL["raw_path"], CALL["query"], HEADERS, order)
        self.check(f"SharedKey {ACCOUNT}:{sas._hmac(KEY, text)}")

    def test_orders_differ_where_clients_do(self):
        names = sorted(HEADERS, key=sas._HEADER_ORDERS[0]), sorted(HEADERS, key=sas._HEADER_ORDERS[1])
        assert names[0] != names[1]

    @pytest.mark.parametrize("changed", [
        {"method": "GET"}, {"raw_path": "/c/b c"}, {"raw_path": "/c/b"}, {"query": [("comp", "metadata")]}, {"query": [("comp", "metadata"), ("timeout", "4")]},
        {"headers": {**HEADERS, "content-length": "6"}}, {"headers": {**HEADERS, "x-ms-meta-a1": "3"}}, {"headers": {**HEADERS, "x-ms-extra": "1"}},
        {"headers": {**HEADERS, "range": "bytes=0-1"}}, {"headers": {**HEADERS, "if-match": "*"}},
    ])
    def test_everything_is_signed(self, changed):
        assert "string to sign" in self.refused(self.signed(), **changed)

    def test_names_keys_and_age(self):
        assert "is not the one of the URI" in self.refused(self.signed("lzother"))
        self.refused(self.signed(key=sas.account_key(MASTER, "lzother")))
        assert "too old" in self.refused(self.signed(), now=NOW + 901)
        assert "future" in self.refused(self.signed(), now=NOW - 901)
        undated = {name: value for name, value in HEADERS.items() if name != "x-ms-date"}
        token = sas.sign_shared_key(KEY, ACCOUNT, headers=undated, **CALL)
        assert "no valid" in self.refused(token, headers=undated)

    @pytest.mark.parametrize("authorization", ["SharedKey", "SharedKey x", f"SharedKey {ACCOUNT}:", f"SharedKey {ACCOUNT}:!!", "SharedKey :", "SharedKeyLite a:b", f"SharedKey {ACCOUNT}:é"])
    def test_nonsense(self, authorization):
        self.refused(authorization)


@pytest.mark.parametrize(("text", "wanted"), [
    ("2027-01-15", "2027-01-15T00:00:00"), ("2027-01-15T08:00Z", "2027-01-15T08:00:00"), ("2027-01-15T08:00:01Z", "2027-01-15T08:00:01"),
    ("2027-01-15T08:00:01.1234567Z", "2027-01-15T08:00:01.123456"), ("2027-01-15T08:00:01+02:00", "2027-01-15T06:00:01"),
])
def test_times(text, wanted):
    assert sas.parse_time(text) == datetime.fromisoformat(wanted).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize("text", ["", "now", "2027-13-01", "2027-01-15T25:00Z", "2027-01-15 08:00", "15/01/2027", "2027-01-15T08:00:01Zx"])
def test_what_is_no_time(text):
    with pytest.raises(ValueError):
        sas.parse_time(text)



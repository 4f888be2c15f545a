from __future__ import annotations

import base64
import hashlib
import hmac
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws
from joserfc.jwk import RSAKey

from lazward.contract.caller import Caller
from lazward.contract.errors import ArmError
from lazward.identity import tokens
from lazward.identity.tokens import SigningKeys, UnknownKey

NOW = 1_800_000_000.0
ISSUERS = frozenset({"https://localhost:8443/t/v2.0"})
ISSUER = next(iter(ISSUERS))
CALLER = Caller(id="oid", name="Ö. Näme", kind="User", tenant="t", app_id="app", bound_to="/subscriptions/s", run="r", audience="https://aud")
OLD, NEW, FOREIGN = tokens.new_key(), tokens.new_key(), tokens.new_key()
KEYS = SigningKeys([NEW, OLD])


def issue(keys: SigningKeys = KEYS, **more) -> str:
    return tokens.issue(keys, CALLER, audience="https://aud", issuer=ISSUER, now=NOW, lifetime=3600, **more)


def refused(token: str, at: float = NOW) -> ArmError:
    with pytest.raises(ArmError) as caught:
        tokens.verify(KEYS, token, issuers=ISSUERS, now=at)
    assert caught.value.status == 401
    return caught.value


def claims_of(token: str) -> dict:
    piece = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(piece + "=" * (-len(piece) % 4)))


def forged(header: dict, claims: dict, key: object, algorithm: str) -> str:
    return jws.serialize_compact(header, json.dumps(claims).encode(), key, algorithms=[algorithm])  # type: ignore[arg-type]


class TestIssueAndVerify:
    def test_round_trip(self):
        caller, claims = tokens.verify(KEYS, issue(), issuers=ISSUERS, now=NOW)
        assert caller == CALLER and claims["tid"] == "t"

    def test_claims_that_clients_read(self):
        claims = claims_of(issue())
        assert {k: claims[k] for k in ("aud", "iss", "exp", "tid", "oid", "appid", "idtyp", "upn")} == {
            "aud": "https://aud", "iss": ISSUER, "exp": NOW + 3600, "tid": "t", "oid": "oid", "appid": "app", "idtyp": "user", "upn": "Ö. Näme",
        }

    def test_keys_that_sign_no_more_still_verify(self):
        assert tokens.verify(KEYS, issue(SigningKeys([OLD])), issuers=ISSUERS, now=NOW)[0] == CALLER
        header = json.loads(base64.urlsafe_b64decode(issue().split(".")[0] + "=="))
        assert header["kid"] == NEW[0]

    @pytest.mark.parametrize(("at", "code"), [(NOW + 3600 + 59, ""), (NOW + 3600 + 61, "ExpiredAuthenticationToken"), (NOW - 64, ""), (NOW - 70, "InvalidAuthenticationToken")])
    def test_times_with_a_minute_of_leeway(self, at: float, code: str):
        if code:
            assert refused(issue(), at).code == code
        else:
            assert tokens.verify(KEYS, issue(), issuers=ISSUERS, now=at)[0] == CALLER

    def test_another_issuer(self):
        refused(tokens.issue(KEYS, CALLER, audience="https://aud", issuer="https://evil/t/v2.0", now=NOW, lifetime=3600))

    def test_an_id_token_opens_nothing(self):
        refused(tokens.issue_id_token(KEYS, CALLER, client_id="https://aud", issuer=ISSUER, now=NOW, lifetime=3600))

    def test_a_key_we_do_not_hold(self):
        with pytest.raises(UnknownKey):
            tokens.verify(KEYS, issue(SigningKeys([FOREIGN])), issuers=ISSUERS, now=NOW)

    def test_signed_by_another_key_under_our_key_id(self):
        foreign = RSAKey.import_key(FOREIGN[1], {"kid": NEW[0]})
        refused(forged({"alg": "RS256", "kid": NEW[0]}, claims_of(issue()), foreign, "RS256"))

    def test_the_algorithm_is_ours_to_choose(self):
        public = RSAKey.import_key(NEW[1]).as_pem(private=False)
        for header in ({"alg": "none", "kid": NEW[0]}, {"alg": "HS256", "kid": NEW[0]}):
            head, body = (base64.urlsafe_b64encode(json.dumps(x).encode()).decode().rstrip("=") for x in (header, claims_of(issue())))
            refused(f"{head}.{body}.")
        # The public key as HMAC key: what a verifier that trusts the header would fall for.
        head, body = (base64.urlsafe_b64encode(json.dumps(x).encode()).rstrip(b"=") for x in ({"alg": "HS256", "kid": NEW[0]}, claims_of(issue())))
        mac = base64.urlsafe_b64encode(hmac.new(public, head + b"." + body, hashlib.sha256).digest()).rstrip(b"=")
        refused(b".".join((head, body, mac)).decode())
        refused(forged({"alg": "RS512", "kid": NEW[0]}, claims_of(issue()), RSAKey.import_key(NEW[1]), "RS512"))

    def test_changed_by_one_character_anywhere(self):
        token = issue()
        for at in range(0, len(token), 37):
            other = "A" if token[at] != "A" else "B"
            changed = token[:at] + other + token[at + 1:]
            try:
                tokens.verify(KEYS, changed, issuers=ISSUERS, now=NOW)
            except (ArmError, UnknownKey):
                continue
            pytest.fail(f"accepted with another character at {at}")

    @given(st.text(max_size=60) | st.binary(max_size=60).map(lambda b: base64.urlsafe_b64encode(b).decode() + ".e30.x"))
    def test_any_text_is_refused(self, text: str):
        refused(text)

    def test_a_huge_one_is_not_looked_at(self):
        refused(issue() + "A" * tokens.MAX_TOKEN)


def test_jwks_holds_no_private_part():
    keys = KEYS.jwks()["keys"]
    assert [k["kid"] for k in keys] == [NEW[0], OLD[0]] and all(k["use"] == "sig" and k["alg"] == "RS256" for k in keys)
    assert not {"d", "p", "q", "dp", "dq", "qi"} & {name for k in keys for name in k}


class TestSecrets:
    def test_hash_depends_on_the_master_key(self):
        secret = tokens.new_secret()
        assert len(secret) >= 43 and secret != tokens.new_secret()
        assert tokens.hash_secret(b"a" * 32, secret) == tokens.hash_secret(b"a" * 32, secret) != tokens.hash_secret(b"b" * 32, secret)
        assert secret not in tokens.hash_secret(b"a" * 32, secret)

    @given(st.text(max_size=30), st.text(max_size=30), st.text(max_size=30))
    def test_job_secret_round_trip(self, workspace: str, run: str, principal: str):
        secret = tokens.job_secret(b"k" * 32, workspace, run, principal)
        assert tokens.read_job_secret(b"k" * 32, secret) == (workspace, run, principal)
        assert tokens.read_job_secret(b"x" * 32, secret) is None

    @given(st.text(max_size=60) | st.text(max_size=20).map("lzjob.".__add__) | st.text(max_size=20).map(lambda t: "lzjob.00." + t))
    def test_a_forged_job_secret_is_none(self, text: str):
        assert tokens.read_job_secret(b"k" * 32, text) is None

    def test_a_job_secret_cannot_be_turned_into_anothers(self):
        mine = tokens.job_secret(b"k" * 32, "/w", "mine", "p")
        theirs = tokens.job_secret(b"x" * 32, "/w", "theirs", "p")
        assert tokens.read_job_secret(b"k" * 32, theirs.rpartition(".")[0] + "." + mine.rpartition(".")[2]) is None


class TestSeal:
    def test_round_trip_in_time(self):
        text = tokens.seal(b"k" * 32, "p", {"a": ["ü", 1]}, NOW + 10)
        assert tokens.unseal(b"k" * 32, "p", text, NOW + 10) == {"a": ["ü", 1]}
        assert tokens.unseal(b"k" * 32, "p", text, NOW + 11) is None
        assert tokens.unseal(b"k" * 32, "other", text, NOW) is None
        assert tokens.unseal(b"x" * 32, "p", text, NOW) is None

    @given(st.text(max_size=80) | st.binary(max_size=80).map(lambda b: base64.urlsafe_b64encode(b).decode()))
    def test_any_text_is_none(self, text: str):
        assert tokens.unseal(b"k" * 32, "p", text, NOW) is None

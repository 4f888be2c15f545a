"""Access tokens: RS256 JWTs, made and verified here. Pure of the database: keys come in, claims go out.

The claims are those of Azure's v1/v2 tokens that clients read (tid, oid, appid, aud, exp), and two of our own:
lz_bound (resource id a token is limited to) and lz_run (run it dies with).
"""

from __future__ import annotations

import hashlib
import hmac
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, RSAKey

from lazward.contract.caller import Caller
from lazward.contract.errors import ArmError

ALGORITHM = "RS256"
LEEWAY_S = 60


class SigningKeys:
    """The newest key signs, all verify. `private`: PEM texts by key id, newest first."""

    def __init__(self, private: Sequence[tuple[str, bytes]]):
        if not private:
            raise ValueError("at least one signing key is needed")
        self.keys = [RSAKey.import_key(pem, {"kid": kid, "use": "sig", "alg": ALGORITHM}) for kid, pem in private]
        self.by_id = {key.kid: key for key in self.keys}

    @property
    def newest(self) -> RSAKey:
        return self.keys[0]

    def jwks(self) -> dict[str, Any]:
        return KeySet(self.keys).as_dict(private=False)  # type: ignore[return-value]


def new_key() -> tuple[str, bytes]:
    """(key id, PEM)."""
    key = RSAKey.generate_key(2048, auto_kid=True)
    return str(key.kid), key.as_pem(private=True)


def issue(keys: SigningKeys, caller: Caller, *, audience: str, issuer: str, now: float, lifetime: float, extra: Mapping[str, Any] | None = None) -> str:
    claims: dict[str, Any] = {
        "aud": audience, "iss": issuer, "iat": int(now), "nbf": int(now) - 5, "exp": int(now + lifetime), "tid": caller.tenant, "oid": caller.id, "sub": caller.id,
        "appid": caller.app_id, "azp": caller.app_id, "idtyp": "user" if caller.kind == "User" else "app", "ver": "1.0", "name": caller.name, "lz_kind": caller.kind,
        "uti": uuid.uuid4().hex,
    }
    if caller.kind == "User":
        claims["upn"] = caller.name
    if caller.bound_to:
        claims["lz_bound"] = caller.bound_to
    if caller.run:
        claims["lz_run"] = caller.run
    claims.update(extra or {})
    key = keys.newest
    return jws.serialize_compact({"alg": ALGORITHM, "typ": "JWT", "kid": key.kid}, msgspec.json.encode(claims), key, algorithms=[ALGORITHM])


def verify(keys: SigningKeys, token: str, *, issuers: frozenset[str], now: float) -> tuple[Caller, dict[str, Any]]:
    """Signature, algorithm, issuer and times; the audience is the surface's business. Raises ArmError 401."""
    try:
        header = jws.extract_compact(token.encode()).headers()
        key = keys.by_id.get(header.get("kid"))
        if header.get("alg") != ALGORITHM or key is None:
            raise unauthorized("The token is not signed by a key of this server.")
        claims = msgspec.json.decode(jws.deserialize_compact(token, key, algorithms=[ALGORITHM]).payload)
    except (JoseError, ValueError, msgspec.DecodeError, UnicodeError):
        raise unauthorized("The access token is malformed or its signature is wrong.") from None
    if not isinstance(claims, dict) or claims.get("iss") not in issuers:
        raise unauthorized("The access token is from another issuer.")
    if not isinstance(claims.get("exp"), int | float) or now > claims["exp"] + LEEWAY_S:
        raise unauthorized("The access token has expired.", "ExpiredAuthenticationToken")
    if now + LEEWAY_S < claims.get("nbf", 0):
        raise unauthorized("The access token is not valid yet.")
    caller = Caller(
        id=str(claims.get("oid", "")), name=str(claims.get("name", "")), kind=str(claims.get("lz_kind", "ServicePrincipal")), tenant=str(claims.get("tid", "")),
        app_id=str(claims.get("appid") or ""), bound_to=str(claims.get("lz_bound") or ""), run=str(claims.get("lz_run") or ""), audience=str(claims.get("aud", "")),
    )
    return caller, claims


def unauthorized(message: str, code: str = "InvalidAuthenticationToken") -> ArmError:
    return ArmError(401, code, message)


def hash_secret(master_key: bytes, secret: str) -> str:
    """Keyed hash of a 256-bit random secret: high entropy needs no slow hash, and the key is not in the database."""
    return hmac.new(master_key, b"secret:" + secret.encode(), hashlib.sha256).hexdigest()


def job_secret(master_key: bytes, workspace: str, run: str, principal: str) -> str:
    """The identity secret of a job: says for whom, proves it by a MAC, is stored nowhere."""
    text = "\n".join((workspace, run, principal)).encode()
    mac = hmac.new(master_key, b"job:" + text, hashlib.sha256).hexdigest()
    return f"lzjob.{text.hex()}.{mac}"


def read_job_secret(master_key: bytes, secret: str) -> tuple[str, str, str] | None:
    """(workspace key, run, principal id) of a job's secret; None when it is none of ours."""
    kind, _, rest = secret.partition(".")
    text, _, mac = rest.partition(".")
    if kind != "lzjob":
        return None
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        return None
    good = hmac.new(master_key, b"job:" + raw, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(good, mac):
        return None
    workspace, run, principal = raw.decode().split("\n")
    return workspace, run, principal

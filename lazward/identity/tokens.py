"""Tokens and secrets: RS256 JWTs, made and verified here. Pure of the database: keys come in, claims go out.

The claims are those of Azure's v1/v2 tokens that clients read (tid, oid, appid, aud, exp), and three of our own:
lz_kind (kind of principal; only access tokens have it), lz_bound (resource id a token is limited to), lz_run (run it dies with).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from lazward.contract.caller import Caller
from lazward.contract.errors import ArmError

ALGORITHM = "RS256"
LEEWAY_S = 60  # between the clocks of several servers
MAX_TOKEN = 16 * 1024


class UnknownKey(Exception):
    """The token names a signing key that is not held here: another process may just have made it."""


class SigningKeys:
    """The newest key signs, all verify. `private`: PEM texts by key id, newest first."""

    def __init__(self, private: Sequence[tuple[str, bytes]]):
        if not private:
            raise ValueError("at least one signing key is needed")
        self.keys = [RSAKey.import_key(pem, {"kid": kid, "use": "sig", "alg": ALGORITHM}) for kid, pem in private]
        self.by_id = {str(key.kid): key for key in self.keys}

    @property
    def newest(self) -> RSAKey:
        return self.keys[0]

    def jwks(self) -> dict[str, Any]:
        """The public halves."""
        return {"keys": [key.as_dict(private=False) for key in self.keys]}


def new_key() -> tuple[str, bytes]:
    """(key id, PEM)."""
    key = RSAKey.generate_key(2048, auto_kid=True)
    return str(key.kid), key.as_pem(private=True)


def issue(keys: SigningKeys, caller: Caller, *, audience: str, issuer: str, now: float, lifetime: float, extra: Mapping[str, Any] | None = None) -> str:
    """An access token."""
    claims: dict[str, Any] = {
        "aud": audience, "iss": issuer, "iat": int(now), "nbf": int(now) - 5, "exp": int(now + lifetime), "tid": caller.tenant, "oid": caller.id, "sub": caller.id,
        "appid": caller.app_id, "azp": caller.app_id, "idtyp": "user" if caller.kind == "User" else "app", "ver": "1.0", "name": caller.name, "lz_kind": caller.kind,
        "uti": uuid.uuid4().hex,
    }
    if caller.kind == "User":
        claims |= {"upn": caller.name, "unique_name": caller.name}
    if caller.bound_to:
        claims["lz_bound"] = caller.bound_to
    if caller.run:
        claims["lz_run"] = caller.run
    claims.update(extra or {})
    return _sign(keys, claims)


def issue_id_token(keys: SigningKeys, caller: Caller, *, client_id: str, issuer: str, now: float, lifetime: float, nonce: str = "") -> str:
    """Tells a client who signed in. Opens nothing: it is no access token, whatever its audience is."""
    claims = {
        "aud": client_id, "iss": issuer, "iat": int(now), "nbf": int(now) - 5, "exp": int(now + lifetime), "tid": caller.tenant, "oid": caller.id, "sub": caller.id,
        "name": caller.name, "preferred_username": caller.name, "upn": caller.name, "ver": "2.0",
    }
    if nonce:
        claims["nonce"] = nonce
    return _sign(keys, claims)


def _sign(keys: SigningKeys, claims: dict[str, Any]) -> str:
    key = keys.newest
    return jws.serialize_compact({"alg": ALGORITHM, "typ": "JWT", "kid": key.kid}, msgspec.json.encode(claims), key, algorithms=[ALGORITHM])


def verify(keys: SigningKeys, token: str, *, issuers: frozenset[str], now: float) -> tuple[Caller, dict[str, Any]]:
    """Signature, algorithm, issuer and times; the audience is the surface's business. Raises ArmError 401, or UnknownKey."""
    try:
        if len(token) > MAX_TOKEN:
            raise ValueError
        header = msgspec.json.decode(_decode(token.partition(".")[0]), type=_Header)
        if header.alg != ALGORITHM:
            raise unauthorized("The access token is not signed by a key of this server.")
        key = keys.by_id.get(header.kid)
        if key is None:
            raise UnknownKey(header.kid)
        claims = msgspec.json.decode(jws.deserialize_compact(token, key, algorithms=[ALGORITHM]).payload, type=dict[str, Any])
    except (JoseError, ValueError, TypeError, msgspec.DecodeError):
        raise unauthorized("The access token is malformed or its signature is wrong.") from None
    # From here on the claims are our own words.
    if claims.get("iss") not in issuers or "lz_kind" not in claims:
        raise unauthorized("The access token is from another issuer or is no access token.")
    if now > claims["exp"] + LEEWAY_S:
        raise unauthorized("The access token has expired.", "ExpiredAuthenticationToken")
    if now + LEEWAY_S < claims["nbf"]:
        raise unauthorized("The access token is not valid yet.")
    caller = Caller(
        id=claims["oid"], name=claims["name"], kind=claims["lz_kind"], tenant=claims["tid"], app_id=claims.get("appid") or "",
        bound_to=claims.get("lz_bound") or "", run=claims.get("lz_run") or "", audience=claims["aud"],
    )
    return caller, claims


class _Header(msgspec.Struct):
    alg: str
    kid: str


def _decode(piece: str) -> bytes:
    return base64.urlsafe_b64decode(piece.encode("ascii") + b"=" * (-len(piece) % 4))


def unauthorized(message: str, code: str = "InvalidAuthenticationToken") -> ArmError:
    return ArmError(401, code, message)


# ---- secrets ---------------------------------------------------------------------------------------------------------------


def new_secret() -> str:
    """A client secret: 256 random bits, with a prefix by which scanners find one that leaked."""
    return "lzs_" + secrets.token_urlsafe(32)


def hash_secret(master_key: bytes, secret: str) -> str:
    """Keyed hash of a random secret: 256 bits need no slow hash, and the key is not in the database."""
    return hmac.new(master_key, b"secret:" + secret.encode("utf-8", "replace"), hashlib.sha256).hexdigest()


def job_secret(master_key: bytes, workspace: str, run: str, principal: str) -> str:
    """The identity secret of a job: says for whom, proves it by a MAC, is stored nowhere."""
    text = msgspec.json.encode((workspace, run, principal))
    return f"lzjob.{text.hex()}.{_job_mac(master_key, text)}"


def read_job_secret(master_key: bytes, secret: str) -> tuple[str, str, str] | None:
    """(workspace key, run, principal id) of a job's secret; None when it is none of ours."""
    kind, _, rest = secret.partition(".")
    text, _, mac = rest.partition(".")
    if kind != "lzjob" or not text.isascii() or not mac.isascii():
        return None
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        return None
    if not hmac.compare_digest(_job_mac(master_key, raw), mac):
        return None
    return msgspec.json.decode(raw, type=tuple[str, str, str])


def seal(master_key: bytes, purpose: str, value: Any, expires: float) -> str:
    """A value that comes back unchanged or not at all, for the hidden fields of forms. Readable by who holds it."""
    raw = msgspec.json.encode([value, int(expires)])
    mac = hmac.new(master_key, b"seal:" + purpose.encode() + b":" + raw, hashlib.sha256).digest()
    return base64.urlsafe_b64encode(mac + raw).decode()


def unseal(master_key: bytes, purpose: str, text: str, now: float) -> Any:
    """What seal() was given; None when it is forged, for another purpose or too old."""
    try:
        both = _decode(text.rstrip("="))
    except (ValueError, UnicodeEncodeError):
        return None
    mac, raw = both[:32], both[32:]
    if not hmac.compare_digest(hmac.new(master_key, b"seal:" + purpose.encode() + b":" + raw, hashlib.sha256).digest(), mac):
        return None
    value, expires = msgspec.json.decode(raw)
    return value if now <= expires else None


def _job_mac(master_key: bytes, text: bytes) -> str:
    return hmac.new(master_key, b"job:" + text, hashlib.sha256).hexdigest()

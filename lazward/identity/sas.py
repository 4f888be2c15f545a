"""Keys of storage accounts and what is signed with them: shared access signatures and SharedKey headers, made and verified.

Every account's key is derived from the master key of the data dir, so nothing is stored and a check costs a few HMACs.
The strings to sign are chosen by the signature's own version (`sv`) alone, and values with line breaks are refused, so no
signature can be read in two ways.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

import msgspec

from lazward.contract.errors import ArmError
from lazward.domain.blobs.errors import storage_error

SIGNED_VERSION = "2023-11-03"  # of the signatures made here
_OVERRIDES = {"rscc": "cache-control", "rscd": "content-disposition", "rsce": "content-encoding", "rscl": "content-language", "rsct": "content-type"}
_DELEGATION = ("skoid", "sktid", "skt", "ske", "sks", "skv")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Grant(msgspec.Struct, frozen=True):
    """What a verified signature lets its bearer do."""

    kind: str  # account | service | delegation
    permissions: str
    scope: str  # account | container | directory | blob
    resource_types: str = ""  # of an account signature: letters of s(ervice), c(ontainer), o(bject)
    oid: str = ""  # of a delegation: who made it, and so whose rights bound it
    tenant: str = ""
    overrides: Mapping[str, str] = {}  # response headers


class SignatureError(ArmError):
    """403 AuthenticationFailed; `detail` says what is wrong with the signature."""

    def __init__(self, detail: str):
        plain = storage_error("AuthenticationFailed")
        super().__init__(plain.status, plain.code, plain.message)
        self.detail = detail


def account_key(master: bytes, account: str) -> str:
    """Base64 of 64 bytes."""
    return base64.b64encode(hmac.digest(master, b"lazward storage account key\0" + account.encode(), "sha512")).decode()


def delegation_key(master: bytes, account: str, query: Mapping[str, str]) -> str:
    """The user delegation key for the facts skoid, sktid, skt, ske, sks, skv (and skdutid) of `query`, base64 of 32 bytes."""
    facts = "\0".join([account, *(query.get(name, "") for name in (*_DELEGATION, "skdutid"))])
    return base64.b64encode(hmac.digest(master, b"lazward user delegation key\0" + facts.encode(), "sha256")).decode()


def sign_blob_sas(
    key: str, account: str, container: str, blob: str | None = None, *, permissions: str, expires: float, start: float | None = None,
    resource: str = "", https_only: bool = True, ip: str = "", overrides: Mapping[str, str] | None = None,
) -> str:
    """The query string (without "?") of a service signature. resource: b(lob), c(ontainer) or d(irectory); by default what is named.
    permissions: letters, any order. expires, start: unix seconds. overrides: rscc, rscd, rsce, rscl, rsct."""
    resource = resource or ("b" if blob else "c")
    order = "racwdxyltfmeopi"
    facts = {
        "sv": SIGNED_VERSION, "st": "" if start is None else _stamp(start), "se": _stamp(expires), "sr": resource,
        "sp": "".join(sorted(set(permissions), key=order.index)), "spr": "https" if https_only else "", "sip": ip, **(overrides or {}),
    }
    if resource == "d":
        facts["sdd"] = str(len((blob or "").strip("/").split("/")) if blob else 0)
    facts["sig"] = _hmac(key, _service_string(facts, _canonical(account, container, "" if resource == "c" else (blob or "").strip("/" if resource == "d" else ""))))
    return "&".join(f"{name}={quote(value, safe='')}" for name, value in facts.items() if value)


def verify_sas(
    query: Mapping[str, str], accounts: Sequence[str], container: str, blob: str, *, now: float, scheme: str, ip: str,
    key: str, delegated: Callable[[Mapping[str, str]], str],
) -> Grant:
    """Checks a signature against the resource it is used on. `accounts`: the spellings of the account it may have been made with;
    delegated: gives the user delegation key for the facts in the query. ArmError 403 saying what is wrong."""
    if any(_CONTROL.search(value) for name, value in query.items() if name in _SIGNED):
        raise SignatureError("A value of the signature has control characters.")
    version = query.get("sv", "")
    if not re.fullmatch(r"20\d\d-\d\d-\d\d", version) or version < "2015-04-05":
        raise SignatureError(f"The signed version sv='{version[:20]}' is not supported.")
    if query.get("si"):
        raise SignatureError("Stored access policies (si) are not supported.")
    if query.get("saoid") or query.get("suoid") or query.get("sduoid") or query.get("srh") or query.get("srq"):
        raise SignatureError("Signatures bound to an end user or to request parameters (saoid, suoid, sduoid, srh, srq) are not supported.")
    if "srt" in query or "ss" in query:
        candidates = [_account_string(query, name) for name in accounts]
        grant = Grant("account", query.get("sp", ""), "account", query.get("srt", ""), overrides=_overridden(query))
    else:
        scope, path = _resource(query, container, blob)
        overrides = _overridden(query)
        if "skoid" in query:
            grant = Grant("delegation", query.get("sp", ""), scope, oid=query["skoid"], tenant=query.get("sktid", ""), overrides=overrides)
            _check_times(query.get("skt", ""), query.get("ske", ""), now, "delegation key")
            candidates = [_delegation_string(query, _canonical(name, container, path)) for name in accounts]
            key = delegated(query)
        else:
            grant = Grant("service", query.get("sp", ""), scope, overrides=overrides)
            candidates = [_service_string(query, _canonical(name, container, path)) for name in accounts]
    given = query.get("sig", "")
    if not any([hmac.compare_digest(_hmac(key, text).encode(), given.encode()) for text in candidates]):
        raise SignatureError(f"Signature did not match. String to sign used was {candidates[0]}")
    _check_times(query.get("st", ""), query.get("se", ""), now, "signature")
    if grant.kind == "account" and "b" not in query.get("ss", ""):
        raise storage_error("AuthorizationServiceMismatch")
    if query.get("spr") and scheme not in query["spr"].split(","):
        raise storage_error("AuthorizationProtocolMismatch")
    if query.get("sip") and not _in_range(ip, query["sip"]):
        raise storage_error("AuthorizationSourceIPMismatch")
    return grant


def verify_shared_key(
    authorization: str, key: str, accounts: Iterable[str], *, method: str, raw_path: str, query: Sequence[tuple[str, str]],
    headers: Mapping[str, str], now: float, max_skew: float = 900.0,
) -> None:
    """Checks "SharedKey NAME:SIGNATURE". raw_path as sent, undecoded; query decoded; header names in lower case.
    ArmError 403 when NAME is none of `accounts`, the signature is wrong, or the request is older than max_skew seconds."""
    scheme, _, rest = authorization.partition(" ")
    name, _, given = rest.strip().rpartition(":")
    if name not in set(accounts):
        raise SignatureError(f"The account '{name[:80]}' of the Authorization header is not the one of the URI.")
    build = _lite_string if scheme.lower() == "sharedkeylite" else _shared_key_string
    texts = [build(name, method, raw_path, query, headers, order) for order in _HEADER_ORDERS]
    if not any([hmac.compare_digest(_hmac(key, text).encode(), given.encode()) for text in dict.fromkeys(texts)]):
        raise SignatureError(f"The MAC signature found in the HTTP request is not the same as any computed signature. Server used following string to sign: '{texts[0]}'.")
    stated = headers.get("x-ms-date") or headers.get("date") or ""
    try:
        age = now - parsedate_to_datetime(stated).timestamp()
    except (ValueError, TypeError, OverflowError):
        raise SignatureError("The request has no valid x-ms-date or Date header.") from None
    if abs(age) > max_skew:
        raise SignatureError(f"Request date header too {'old' if age > 0 else 'far in the future'}: '{stated[:60]}'.")


def sign_shared_key(key: str, account: str, *, method: str, raw_path: str, query: Sequence[tuple[str, str]], headers: Mapping[str, str]) -> str:
    """The Authorization header of a request."""
    return f"SharedKey {account}:{_hmac(key, _shared_key_string(account, method, raw_path, query, headers, _HEADER_ORDERS[0]))}"


def parse_time(text: str) -> float:
    """Unix seconds of 2026-01-31, 2026-01-31T10:20Z, with seconds and up to seven digits of fraction; ValueError otherwise."""
    match = re.fullmatch(r"(\d{4}-\d\d-\d\d)(?:T(\d\d:\d\d)(?::(\d\d)(?:\.(\d{1,7}))?)?(Z|[+-]\d\d:?\d\d)?)?", text)
    if not match:
        raise ValueError(text)
    day, minutes, seconds, fraction, zone = match.groups()
    text = f"{day}T{minutes or '00:00'}:{seconds or '00'}.{(fraction or '0')[:6].ljust(6, '0')}{'+00:00' if zone in (None, 'Z') else zone}"
    return datetime.fromisoformat(text).timestamp()


# ---- strings to sign ------------------------------------------------------------------------------------------------------

_SIGNED = frozenset((
    "sv", "sp", "st", "se", "sr", "sip", "spr", "si", "ss", "srt", "ses", "sdd", "sig", *_DELEGATION, "skdutid", "sduoid", "saoid", "suoid", "scid",
    "srh", "srq", "snapshot", "versionid", *_OVERRIDES,
))


def _canonical(account: str, container: str, path: str) -> str:
    return f"/blob/{account}/{container}" + (f"/{path}" if path else "")


def _resource(query: Mapping[str, str], container: str, blob: str) -> tuple[str, str]:
    """The scope of a service or delegation signature, and the path below the container that it signs."""
    kind = query.get("sr", "")
    if not container:
        raise storage_error("AuthorizationResourceTypeMismatch", "The signature is for a container or what is in it.")
    if kind == "c":
        return "container", ""
    if kind == "b" and blob:
        return "blob", blob
    if kind == "d":
        depth = query.get("sdd", "")
        pieces = blob.rstrip("/").split("/") if blob.rstrip("/") else []  # "/d" is not "d": blobs may be named so
        if not depth.isdigit() or len(depth) > 3 or int(depth) > len(pieces):
            raise SignatureError(f"The path is not inside of a directory of depth sdd='{depth[:10]}'.")
        return "directory", "/".join(pieces[: int(depth)])
    if kind in ("b", "bs", "bv"):
        raise storage_error("AuthorizationResourceTypeMismatch", f"The signature (sr={kind}) does not cover this resource.")
    raise SignatureError(f"The signed resource sr='{kind[:10]}' is not one of b, c and d.")


def _service_string(query: Mapping[str, str], canonical: str) -> str:
    get, version = query.get, query.get("sv", "")
    lines = [get("sp", ""), get("st", ""), get("se", ""), canonical, get("si", ""), get("sip", ""), get("spr", ""), version]
    if version >= "2018-11-09":
        lines += [get("sr", ""), get("snapshot", "")]
    if version >= "2020-12-06":
        lines.append(get("ses", ""))
    return "\n".join([*lines, *(get(name, "") for name in _OVERRIDES)])


def _delegation_string(query: Mapping[str, str], canonical: str) -> str:
    get, version = query.get, query.get("sv", "")
    lines = [get("sp", ""), get("st", ""), get("se", ""), canonical, *(get(name, "") for name in _DELEGATION)]
    if version >= "2020-02-10":
        lines += [get("saoid", ""), get("suoid", ""), get("scid", "")]
    if version >= "2025-07-05":
        lines += [get("skdutid", ""), get("sduoid", "")]
    lines += [get("sip", ""), get("spr", ""), version, get("sr", ""), get("snapshot", "")]
    if version >= "2020-12-06":
        lines.append(get("ses", ""))
    if version >= "2026-04-06":
        lines += ["", ""]  # srh and srq, which are refused before
    return "\n".join([*lines, *(get(name, "") for name in _OVERRIDES)])


def _account_string(query: Mapping[str, str], account: str) -> str:
    lines = [account, *(query.get(name, "") for name in ("sp", "ss", "srt", "st", "se", "sip", "spr", "sv"))]
    if query.get("sv", "") >= "2020-12-06":
        lines.append(query.get("ses", ""))
    return "\n".join([*lines, ""])


def _shared_key_string(account: str, method: str, raw_path: str, query: Sequence[tuple[str, str]], headers: Mapping[str, str], order: Callable) -> str:
    length = headers.get("content-length", "")
    standard = [
        method, headers.get("content-encoding", ""), headers.get("content-language", ""), "" if length == "0" else length,
        headers.get("content-md5", ""), headers.get("content-type", ""), "" if "x-ms-date" in headers else headers.get("date", ""),
        *(headers.get(name, "") for name in ("if-modified-since", "if-match", "if-none-match", "if-unmodified-since", "range")),
    ]
    values: dict[str, list[str]] = {}
    for name, value in query:
        values.setdefault(name.lower(), []).append(value)
    resource = f"/{account}{raw_path}" + "".join(f"\n{name}:{','.join(sorted(values[name]))}" for name in sorted(values))
    return "\n".join(standard) + "\n" + _ms_headers(headers, order) + resource


def _lite_string(account: str, method: str, raw_path: str, query: Sequence[tuple[str, str]], headers: Mapping[str, str], order: Callable) -> str:
    comp = next((value for name, value in query if name.lower() == "comp"), None)
    standard = [method, headers.get("content-md5", ""), headers.get("content-type", ""), "" if "x-ms-date" in headers else headers.get("date", "")]
    return "\n".join(standard) + "\n" + _ms_headers(headers, order) + f"/{account}{raw_path}" + (f"?comp={comp}" if comp is not None else "")


def _ms_headers(headers: Mapping[str, str], order: Callable[[str], Any]) -> str:
    names = sorted((name for name in headers if name.startswith("x-ms-")), key=order)
    return "".join(f"{name}:{headers[name].strip()}\n" for name in names)


def _collated(name: str) -> list[int]:
    """As .NET compares words: dashes do not count, an underscore is before digits, digits are before letters."""
    return [ord(c) if c != "_" else 0x2F for c in name if c != "-"]


def _dash_first(name: str) -> list[int]:
    return [ord(c) if c not in "-_" else 0x20 + (c == "_") for c in name]


# Clients differ in how they sort x-ms- headers whose names have dashes and underscores; each order gives one string to compare with.
_HEADER_ORDERS: tuple[Callable[[str], Any], ...] = (str, _collated, _dash_first)


# ---- pieces ----------------------------------------------------------------------------------------------------------------


def _hmac(key: str, text: str) -> str:
    try:
        raw = base64.b64decode(key, validate=True)
    except binascii.Error:
        raise ValueError("an account key is base64") from None
    return base64.b64encode(hmac.digest(raw, text.encode("utf-8", "surrogatepass"), hashlib.sha256)).decode()


def _overridden(query: Mapping[str, str]) -> dict[str, str]:
    return {header: query[name] for name, header in _OVERRIDES.items() if query.get(name)}


def _check_times(start: str, end: str, now: float, what: str) -> None:
    try:
        begins, ends = parse_time(start) if start else None, parse_time(end)
    except ValueError:
        raise SignatureError(f"The times of the {what} are not valid: '{start[:40]}' to '{end[:40]}'.") from None
    if now >= ends or (begins is not None and now < begins):
        raise SignatureError(f"Signature not valid in the specified time frame: {what} from '{start}' to '{end}', it is {_stamp(now)}.")


def _in_range(ip: str, signed: str) -> bool:
    """signed: one address, or first-last. Addresses of the two families are never in one range."""
    first, _, last = signed.partition("-")
    try:
        low, at, high = (ipaddress.ip_address(text) for text in (first, ip, last or first))
    except ValueError:
        return False
    return low.version == at.version == high.version and int(low) <= int(at) <= int(high)


def _stamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

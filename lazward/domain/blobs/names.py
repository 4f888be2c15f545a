"""Names of accounts, containers and blobs, and the order blob names are listed in (code points, as UTF-8 bytes compare)."""

from __future__ import annotations

import re

from lazward.domain.blobs.errors import storage_error

MAX_NAME = 1024
_HOST = re.compile(r"(?P<account>[a-z0-9]{3,24})\.(?P<endpoint>blob|dfs)\.core\.(?P<suffix>[a-z0-9.-]+)")
_CONTAINER = re.compile(r"[a-z0-9](?:[a-z0-9]|-(?=[a-z0-9])){2,62}\Z")
_META_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
# XML 1.0 cannot carry control characters, U+FFFE and U+FFFF, so a listing could not name such a blob.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f\ufffe\uffff\ud800-\udfff]")
_NOT_IN_HEADER = re.compile(r"[\x00-\x1f\x7f]")
_LAST, _FIRST_SURROGATE, _AFTER_SURROGATES = 0x10FFFF, 0xD800, 0xE000


def storage_account(workspace_guid: str) -> str:
    """The storage account of a workspace or registry: 22 characters that Azure's rules for account names allow."""
    return "lz" + workspace_guid.replace("-", "").lower()[:20]


def account_in_host(host: str, own: str) -> tuple[str, str] | None:
    """(account, "blob" or "dfs") of a host name, without its port, that has the account in front: ACCOUNT.blob.core.windows.net, as our
    cloud metadata names it (DNS or a proxy leads it here), or ACCOUNT.blob.core.OWN, for which our certificate is good."""
    match = _HOST.fullmatch(host)
    return (match["account"], match["endpoint"]) if match and match["suffix"] in ("windows.net", own.lower()) else None


def check_container(name: str) -> str:
    """Returns the name: 3 to 63 lower-case letters, digits and single dashes; ArmError 400 otherwise."""
    if not _CONTAINER.match(name):
        raise storage_error("InvalidResourceName", f"A container is named with 3 to 63 lower-case letters, digits and single dashes, not {_shown(name)}.", "container")
    return name


def check_blob(name: str) -> str:
    """Returns the name; ArmError 400 for one that is empty, too long, or that no listing and no folder could show."""
    why = ""
    if not name or len(name) > MAX_NAME:
        why = f"A blob's name has 1 to {MAX_NAME} characters, not {len(name)}."
    elif found := _UNPRINTABLE.search(name):
        why = f"A blob's name holds no control character, as {_shown(name)} does at {found.start()}."
    elif any(piece in (".", "..") for piece in name.split("/")):
        why = f"The pieces '.' and '..' are not part of a blob's name, as in {_shown(name)}."
    if why:
        raise storage_error("InvalidResourceName", why, "blob")
    return name


def check_meta(meta: dict[str, str]) -> dict[str, str]:
    """Metadata becomes response headers: names are identifiers, values have no line breaks, all of it at most 8 KiB."""
    for name, value in meta.items():
        if not _META_NAME.match(name):
            raise storage_error("InvalidMetadata", f"The name {_shown(name)} is not an identifier.", f"x-ms-meta-{name[:64]}")
        check_header(f"x-ms-meta-{name}", value, "InvalidMetadata")
    if sum(len(name) + len(value) for name, value in meta.items()) > 8192:
        raise storage_error("MetadataTooLarge", target="x-ms-meta-*")
    return meta


def check_header(name: str, value: str, code: str = "InvalidHeaderValue") -> str:
    """A value that can be sent back as a header: printable Latin-1."""
    if _NOT_IN_HEADER.search(value) or any(ord(c) > 255 for c in value):
        raise storage_error(code, f"The value of {name[:80]} has characters that cannot be in a header.", name[:80])
    return value


def after_prefix(prefix: str) -> str | None:
    """The least string above every string that starts with prefix; None when there is none."""
    while prefix:
        last = ord(prefix[-1]) + 1
        if last == _FIRST_SURROGATE:
            last = _AFTER_SURROGATES
        if last <= _LAST:
            return prefix[:-1] + chr(last)
        prefix = prefix[:-1]
    return None


def folded(name: str, prefix: str, delimiter: str) -> str | None:
    """The common prefix under which a listing with a delimiter shows the name; None when it is shown itself."""
    at = name.find(delimiter, len(prefix)) if delimiter else -1
    return None if at < 0 else name[: at + len(delimiter)]


def parents(name: str) -> list[str]:
    """The folders above a name, outermost first: a/b/c -> a, a/b."""
    return [name[:at] for at, char in enumerate(name) if char == "/" and at]


def _shown(name: str) -> str:
    return "'" + name[:64].encode("ascii", "backslashreplace").decode() + "'"

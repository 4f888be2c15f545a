"""XML of the storage services, in and out. Output is text with escaped values; input is read without entities or doctypes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

from starlette.responses import Response

from lazward.domain.blobs.errors import storage_error

_SPECIAL = re.compile("[&<>]")
HEAD = '<?xml version="1.0" encoding="utf-8"?>'


def element(name: str, value: object = "") -> str:
    """<name>value</name>, the value escaped; "" for None."""
    if value is None:
        return ""
    text = str(value)
    if _SPECIAL.search(text):
        text = escape(text)
    return f"<{name}>{text}</{name}>" if text else f"<{name} />"


def wrap(name: str, inner: Iterable[str], attributes: Mapping[str, str] | None = None) -> str:
    """inner: elements, already XML."""
    given = "".join(f" {key}={quoteattr(value)}" for key, value in (attributes or {}).items())
    return f"<{name}{given}>{''.join(inner)}</{name}>"


def xml_response(inner: str, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response((HEAD + inner).encode("utf-8"), status, headers, media_type="application/xml")


def flatten(raw: bytes, root: str) -> list[tuple[tuple[str, ...], str]]:
    """Every element that has no element inside, in order: its path below the root, and its text. ArmError 400 unless raw is a
    document with that root element."""
    out: list[tuple[tuple[str, ...], str]] = []
    stack: list[str] = []
    text: list[str] = []
    leaf = False

    def start(name: str, _attributes: object) -> None:
        nonlocal leaf
        if (not stack and name != root) or len(stack) > 16:
            raise _bad(f"'{name[:40]}' is not expected here, the root is '{root}'.")
        stack.append(name)
        text.clear()
        leaf = True

    def end(_name: str) -> None:
        nonlocal leaf
        if leaf and len(stack) > 1:
            out.append((tuple(stack[1:]), "".join(text).strip()))
        stack.pop()
        leaf = False

    def forbidden(*_: object) -> None:
        raise _bad("A document type is not allowed.")

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = text.append
    parser.StartDoctypeDeclHandler = forbidden
    try:
        parser.Parse(raw, True)
    except (expat.ExpatError, UnicodeDecodeError, ValueError) as error:
        raise _bad(str(error)) from None
    return out


def _bad(why: str):
    return storage_error("InvalidXmlDocument", why, "body")

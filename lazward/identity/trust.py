"""The bundle that clients trust: the certificates the user trusted before, and our CA.

Variables such as REQUESTS_CA_BUNDLE *replace* a client's own list, so a bundle of our CA alone would cut it off from the rest of the world,
and one of certifi alone from a company's proxy or package index.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from lazward.identity.private_files import write_private

VARIABLES = ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE", "PIP_CERT")

_TITLE = "# Lazward bundle: made from the files below and this install's CA; written again at each start."
_FROM = "# from: "
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----\s.*?-----END CERTIFICATE-----", re.DOTALL)


def write_bundle(bundle: Path, ca: Path, environ: Mapping[str, str]) -> list[Path]:
    """Writes `bundle` and returns the files or folders it was made from besides the CA: those that the variables name; else those of
    the last time (the shell may have taken our own bundle's variables); else certifi's list. Nothing is written when nothing changed."""
    sources = _user_sources(environ)
    if not sources and bundle.exists():
        sources = [p for p in _recorded(bundle) if _certificates(p)]
    if not sources:
        import certifi

        sources = [Path(certifi.where())]
    blocks: dict[str, None] = {}
    for path in (*sources, ca):
        for block in _certificates(path):
            blocks[block] = None
    text = "\n".join([_TITLE, *(_FROM + str(p) for p in sources), *blocks, ""])
    if not bundle.exists() or bundle.read_text("utf-8", "replace") != text:
        write_private(bundle, text.encode())
    return sources


def _user_sources(environ: Mapping[str, str]) -> list[Path]:
    found: dict[Path, None] = {}
    for variable in VARIABLES:
        value = environ.get(variable, "")
        if not value or "\n" in value:
            continue
        path = Path(value).absolute()
        for source in _recorded(path) if _is_ours(path) else [path]:
            if _certificates(source):
                found[source] = None
    return list(found)


def _is_ours(path: Path) -> bool:
    return _read(path).startswith(_TITLE)


def _recorded(bundle: Path) -> list[Path]:
    head = _read(bundle).partition("-----BEGIN")[0]
    # A bundle made from certifi records certifi's path, which another environment or a later version may lack: it is found anew.
    return [p for line in head.splitlines() if line.startswith(_FROM) and (p := Path(line[len(_FROM):])).parent.name != "certifi"]


def _certificates(path: Path) -> list[str]:
    """The PEM blocks of a file, or of all files of a folder (as `c_rehash` makes them)."""
    files = sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else [path]
    return [block for file in files for block in _CERTIFICATE.findall(_read(file))]


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace") if path.is_file() else ""
    except OSError:
        return ""

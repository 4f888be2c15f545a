"""Artifacts in folders of this machine: only what really lies inside the folder that the command names (S3)."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from lazward.cli.moving.source import CHUNK, BadSource, File
from lazward.domain.tracking.moved import Owner


def inside(root: Path, path: Path) -> Path | None:
    """The path, resolved; None when it is not below root."""
    resolved, top = path.resolve(), root.resolve()
    return resolved if resolved == top or top in resolved.parents else None


def path_of(uri: str, root: Path) -> Path | None:
    """The place of an artifact URI in the folder that `mlflow-artifacts:` stands for, or of a path; None when it is elsewhere."""
    parts = urlsplit(uri)
    if parts.scheme == "mlflow-artifacts":
        return inside(root, root / unquote(parts.path).lstrip("/"))
    if parts.scheme in ("", "file") and not parts.netloc:
        return inside(root, Path(unquote(parts.path) if parts.scheme else uri))
    return None


def files_below(folder: Path, owner: Owner, id_: str) -> Iterator[File]:
    """Regular files; links are not followed."""
    for at, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(at) / name
            try:
                facts = path.lstat()
            except OSError:
                continue
            if stat.S_ISREG(facts.st_mode):
                yield File(owner, id_, path.relative_to(folder).as_posix(), facts.st_size, lambda path=path: _bytes(path))  # type: ignore[misc]


def _bytes(path: Path) -> Iterator[bytes]:
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0)), "rb") as file:
            while piece := file.read(CHUNK):
                yield piece
    except OSError as error:
        raise BadSource(f"{path} cannot be read: {error.strerror}.") from None

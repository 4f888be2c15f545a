"""The files of a build context, and where COPY instructions put them."""

from __future__ import annotations

import fnmatch
import posixpath
from collections.abc import Mapping

from lazward.domain.package_set import FileContent, invalid

MAX_BYTES = 4 * 1024 * 1024
_PROJECT = ("pyproject.toml", "setup.py", "setup.cfg")


class ContextFiles:
    """Paths of the context are relative with forward slashes; paths of the image are absolute."""

    def __init__(self, files: Mapping[str, FileContent] | None):
        self.files = {posixpath.normpath(k): v for k, v in (files or {}).items()}
        self._placed: dict[str, str] = {}  # path in the image -> path in the context

    def copy(self) -> ContextFiles:
        other = ContextFiles(self.files)
        other._placed = dict(self._placed)
        return other

    def place(self, sources: list[str], target: str, folder: str) -> None:
        """COPY sources... target, with the working folder `folder`."""
        into_folder = len(sources) > 1 or target.endswith("/") or target in (".", "..")
        base = posixpath.normpath(posixpath.join(folder, target))
        for source in sources:
            wanted = posixpath.normpath(source.lstrip("/") or ".")
            for path in self.files:
                if fnmatch.fnmatch(path, wanted):
                    self._placed[posixpath.join(base, posixpath.basename(path))] = path
                    if not into_folder:
                        self._placed[base] = path
                elif wanted == "." or path.startswith(wanted + "/"):
                    inside = path if wanted == "." else path[len(wanted) + 1 :]
                    self._placed[posixpath.join(base, inside)] = path

    def place_text(self, target: str, folder: str, text: str) -> None:
        """COPY <<EOF target."""
        path = posixpath.normpath(posixpath.join(folder, target))
        self.files[path] = text
        self._placed[path] = path

    def move(self, words: list[str], folder: str) -> None:
        """`cp source... target` inside the image."""
        if len(words) < 2:
            return
        target = posixpath.normpath(posixpath.join(folder, words[-1]))
        for word in words[:-1]:
            source = posixpath.normpath(posixpath.join(folder, word))
            if source in self._placed:
                self._placed[target] = self._placed[posixpath.join(target, posixpath.basename(source))] = self._placed[source]

    def found_as(self, path: str, folder: str) -> str:
        """The context's path of a file that the image's path names; `path` itself when there is none."""
        absolute = posixpath.normpath(posixpath.join(folder, path))
        if absolute in self._placed:
            return self._placed[absolute]
        relative = posixpath.normpath(path)
        if relative in self.files:
            return relative
        same_name = [p for p in set(self._placed.values()) if posixpath.basename(p) == posixpath.basename(relative)]
        return same_name[0] if len(same_name) == 1 else relative

    def read(self, path: str, folder: str = "/") -> str | None:
        """The text of a file by its path in the image or in the context, None where there is none."""
        found = self.found_as(path, folder)
        content = self.files.get(found)
        if content is None:
            return None
        value = content() if callable(content) else content
        if len(value) > MAX_BYTES:
            raise invalid(f"build context: `{found}` is larger than {MAX_BYTES // 1024 // 1024} MiB.", f"build.{found}")
        if isinstance(value, str):
            return value
        try:
            return value.decode("utf-16" if value[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
        except UnicodeDecodeError:
            raise invalid(f"build context: `{found}` is no UTF-8 text.", f"build.{found}") from None

    def local(self, path: str, folder: str = "/") -> str | None:
        """The context's path of a wheel, an archive or a project folder."""
        absolute = posixpath.normpath(posixpath.join(folder, path))
        if absolute in self._placed:
            return self._placed[absolute]
        for marker in _PROJECT:
            found = self._placed.get(posixpath.join(absolute, marker))
            if found:
                return posixpath.dirname(found) or "."
        relative = posixpath.normpath(path)
        if relative in self.files:
            return relative
        if any(posixpath.normpath(posixpath.join(relative, m)) in self.files for m in _PROJECT):
            return relative
        return None

    def glob(self, pattern: str, folder: str) -> list[str]:
        """The image's paths that match, or the pattern itself, as a shell does it."""
        absolute = posixpath.normpath(posixpath.join(folder, pattern))
        return sorted(p for p in self._placed if fnmatch.fnmatch(p, absolute)) or [pattern]

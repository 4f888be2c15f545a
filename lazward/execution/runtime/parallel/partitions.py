"""Values in paths: partition formats such as `{Store}/{Brand}/{when:yyyy/MM/dd}/{name}.csv`, and folders named key=value."""

from __future__ import annotations

import datetime
import re
from typing import Any, Sequence

from .refused import Refused

_PART = re.compile(r"\{([^{}:]+)(?::([^{}]+))?\}")
_TIME = re.compile(r"yyyy|MM|dd|HH|mm|ss")
_MEMBERS = {"yyyy": "year", "MM": "month", "dd": "day", "HH": "hour", "mm": "minute", "ss": "second"}


class Format:
    """Matches the end of a path, from the first column on. Raises Refused for a format without columns."""

    def __init__(self, text: str):
        self.text = text
        self.columns: list[str] = []
        self._times: dict[str, list[str]] = {}  # of a column with a date: the members, in the order of its groups
        pattern, at = "", 0
        stripped = text.lstrip("/")
        for match in _PART.finditer(stripped):
            pattern += re.escape(stripped[at : match.start()]) + self._column(match.group(1), match.group(2))
            at = match.end()
        if not self.columns:
            raise Refused(f"The partition format '{text}' has no {{column}}.")
        self._pattern = re.compile("(?:^|/)" + pattern + re.escape(stripped[at:]) + "$")

    def values(self, path: str) -> dict[str, str] | None:
        """The text of each column; None when the path does not match."""
        match = self._pattern.search(path)
        return {name: match.group(self._group(name)) for name in self.columns} if match else None

    def typed(self, path: str) -> dict[str, Any] | None:
        """The value of each column: a datetime where the format gives one."""
        match = self._pattern.search(path)
        if match is None:
            return None
        values: dict[str, Any] = {name: match.group(self._group(name)) for name in self.columns}
        for name, members in self._times.items():
            parts = {"year": 1, "month": 1, "day": 1}
            for at, member in enumerate(members):
                parts[member] = int(match.group(f"{self._group(name)}_{at}"))
            values[name] = datetime.datetime(**parts)  # type: ignore[arg-type]  # noqa: DTZ001 - a path has no time zone
        return values

    def _group(self, name: str) -> str:
        return f"c{self.columns.index(name)}"

    def _column(self, name: str, form: str | None) -> str:
        self.columns.append(name)
        group = self._group(name)
        if form is None:
            return f"(?P<{group}>[^/]+?)"
        inner, at, members = "", 0, []
        for match in _TIME.finditer(form):
            inner += re.escape(form[at : match.start()]) + f"(?P<{group}_{len(members)}>[0-9]{{{len(match.group())}}})"
            members.append(_MEMBERS[match.group()])
            at = match.end()
        if not members:
            raise Refused(f"In the partition format '{self.text}', '{form}' is no date such as yyyy/MM/dd.")
        self._times[name] = members
        return f"(?P<{group}>{inner}{re.escape(form[at:])})"


def folder_keys(path: str, keys: Sequence[str]) -> dict[str, str] | None:
    """From a path below the input: folders named key=value, else the folders' levels in the order of the keys."""
    folders = path.split("/")[:-1]
    named = dict(folder.split("=", 1) for folder in folders if "=" in folder)
    if all(key in named for key in keys):
        return {key: named[key] for key in keys}
    if named or len(folders) < len(keys):
        return None
    return dict(zip(keys, folders))

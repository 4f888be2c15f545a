"""What people read: short and plain. Results go to stdout, progress and errors to stderr."""

from __future__ import annotations

import json
import os
import sys
from typing import Any, NoReturn

# Exit codes, documented in docs/guides/settings.md.
OK, FAILED, USAGE, NOT_RUNNING, INTERRUPTED = 0, 1, 2, 3, 130


class CliError(Exception):
    """Ends the command: one line of cause, one line of next step, an exit code."""

    def __init__(self, cause: str, next_step: str = "", code: int = FAILED):
        super().__init__(cause)
        self.cause = cause
        self.next_step = next_step
        self.code = code


def fail(cause: str, next_step: str = "", code: int = FAILED) -> NoReturn:
    raise CliError(cause, next_step, code)


def show(text: str = "") -> None:
    print(text, flush=True)


def progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def show_json(value: Any) -> None:
    print(json.dumps(value, indent=2), flush=True)


def show_error(error: CliError) -> None:
    progress(f"lazward: {error.cause}")
    if error.next_step:
        progress(f"  next: {error.next_step}")


def columns(rows: list[tuple[str, ...]]) -> str:
    """Left-aligned columns, two spaces apart; no trailing blanks."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def duration(seconds: float) -> str:
    """"3 s", "5 min", "2 h 5 min", "3 d 2 h"."""
    s = max(0, int(seconds))
    if s < 60:
        return f"{s} s"
    if s < 3600:
        return f"{s // 60} min"
    if s < 86400:
        return f"{s // 3600} h {s % 3600 // 60} min"
    return f"{s // 86400} d {s % 86400 // 3600} h"


def size(count: int) -> str:
    """"512 B", "1.5 MiB"."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{int(value)} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def for_shell(path: str, home: str | None = None) -> str:
    """A path as one may type it: quoted where needed."""
    import shlex

    home = home if home is not None else os.environ.get("HOME", "")
    if home and path.startswith(home.rstrip("/") + "/") and shlex.quote(path) == path:
        return "~" + path[len(home.rstrip("/")):]
    return shlex.quote(path)

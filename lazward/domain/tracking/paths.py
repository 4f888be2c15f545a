"""Where artifacts lie: the one function by which a client's path becomes the name of a blob (S2)."""

from __future__ import annotations

import posixpath
import re
from urllib.parse import quote, unquote

from lazward.contract.mlflow import invalid

CONTAINER = "azureml"  # container behind the datastore workspaceartifactstore
TRACES = "Traces"  # folder of the artifacts of all traces
MAX_NAME = 1024  # of a blob

_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_DRIVE = re.compile(r"^[A-Za-z]:")


def run_prefix(run_id: str) -> str:
    """The folder of a run's artifacts; a logged model's id takes the place of a run's."""
    return f"ExperimentRun/dcid.{run_id}"


def trace_prefix(trace_id: str) -> str:
    """The folder of a trace's artifacts: traces.json of clients that send no spans, and attachments."""
    return f"{TRACES}/{trace_id}"


def below(prefix: str, path: str, target: str = "path") -> str:
    """The blob name of `path` below `prefix`; `prefix` itself for "". Raises INVALID_PARAMETER_VALUE when the path, read as it is or
    decoded however often, resolves to anything but itself inside the prefix."""
    if path == "":
        return prefix
    seen = path
    for _ in range(8):  # a decoder behind us may decode once more than we did
        _stays_inside(prefix, seen, path, target)
        decoded = unquote(seen)
        if decoded == seen:
            break
        seen = decoded
    else:
        raise _bad(path, target)
    name = f"{prefix}/{path}"
    if len(name) > MAX_NAME:
        raise invalid(f"Invalid path: it is longer than {MAX_NAME - len(prefix) - 1} characters.", target)
    return name


def quoted(name: str) -> str:
    """A blob name as part of a URL."""
    return quote(name, safe="/~-._")


def _stays_inside(prefix: str, seen: str, path: str, target: str) -> None:
    if _CONTROL.search(seen) or "\\" in seen or _DRIVE.match(seen):
        raise _bad(path, target)
    resolved = posixpath.normpath(posixpath.join(prefix, seen))
    if resolved != f"{prefix}/{seen}":
        raise _bad(path, target)


def _bad(path: str, target: str) -> Exception:
    shown = path[:100].encode("ascii", "backslashreplace").decode()
    return invalid(f"Invalid path: '{shown}'. A path is relative, with no empty, '.' or '..' pieces, backslashes or control characters.", target)

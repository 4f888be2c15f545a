"""What the environment asks for. A value that cannot be read is told once, and the default is used: logging must not end a training."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_YES, _NO = ("1", "on", "true", "yes"), ("", "0", "off", "false", "no")


class Settings:
    """folder: of all spools. Seconds: timeout of one write, wait for calls that cannot be kept, exit_wait at the end of the process,
    heartbeat between two of them (0 = none). environ: as it was when MLflow was imported, which takes MLFLOW_RUN_ID out of it."""

    __slots__ = ("environ", "exit_wait", "folder", "heartbeat", "offline", "timeout", "wait")

    def __init__(self, environ: Mapping[str, str]):
        self.environ = dict(environ)
        self.offline = _flag(environ, "LAZWARD_OFFLINE")
        self.folder = default_folder(environ)
        self.timeout = _seconds(environ, "LAZWARD_SPOOL_TIMEOUT", 10.0, 0.1)
        self.wait = _seconds(environ, "LAZWARD_SPOOL_WAIT", 300.0)
        self.exit_wait = _seconds(environ, "LAZWARD_SPOOL_EXIT_WAIT", 30.0)
        self.heartbeat = _seconds(environ, "LAZWARD_HEARTBEAT", 30.0)


def wanted(environ: Mapping[str, str]) -> bool:
    """LAZWARD_SPOOL decides; where it is not set, LAZWARD_OFFLINE asks for a spool too."""
    if "LAZWARD_SPOOL" in environ:
        return _flag(environ, "LAZWARD_SPOOL")
    return _flag(environ, "LAZWARD_OFFLINE")


def default_folder(environ: Mapping[str, str]) -> str:
    asked = environ.get("LAZWARD_SPOOL_DIR")
    return os.path.abspath(os.path.expanduser(asked or os.path.join("~", ".lazward-spool")))


def say(text: str) -> None:
    """To people, on stderr, whatever became of it."""
    try:
        print(f"lazward: {text}", file=sys.stderr, flush=True)
    except (OSError, ValueError):
        pass


def _flag(environ: Mapping[str, str], name: str) -> bool:
    value = environ.get(name, "").strip().lower()
    if value not in _YES + _NO:
        say(f"{name}={value[:40]!r} is neither on nor off; it is taken for on.")
    return value not in _NO


def _seconds(environ: Mapping[str, str], name: str, default: float, least: float = 0.0) -> float:
    value = environ.get(name, "").strip()
    if not value:
        return default
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not least <= number < 1e9:
        say(f"{name}={value[:40]!r} is not a number of seconds; {default:g} is used.")
        return default
    return number

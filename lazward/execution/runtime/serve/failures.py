"""Exceptions of user code as text for answers and logs."""

from __future__ import annotations

import traceback
from typing import Any

PACKAGE = __name__.rpartition(".")[0]


def short(error: BaseException) -> str:
    """Type and message, at most 2,000 characters."""
    if type(error).__module__.startswith(PACKAGE):  # ours: the name of the module would tell nothing
        return f"{type(error).__name__}: {error}"[:2000]
    return "".join(traceback.format_exception_only(type(error), error)).strip()[:2000]


def traceback_text(error: BaseException) -> str:
    """The traceback without this package's own frames at its beginning."""
    trace: Any = error.__traceback__
    while trace is not None and str(trace.tb_frame.f_globals.get("__name__", "")).startswith(PACKAGE + "."):
        trace = trace.tb_next
    return "".join(traceback.format_exception(type(error), error, trace)).rstrip()

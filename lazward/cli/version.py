"""`lazward version`."""

from __future__ import annotations

import platform

from lazward import __version__
from lazward.cli.output import OK, show, show_json


def version(*, json: bool = False) -> int:
    """Print the version of Lazward and of the Python it runs on.

    Parameters
    ----------
    json
        Print JSON.
    """
    if json:
        show_json({"lazward": __version__, "python": platform.python_version(), "platform": f"{platform.system()} {platform.machine()}"})
    else:
        show(f"lazward {__version__} (Python {platform.python_version()}, {platform.system()} {platform.machine()})")
    return OK

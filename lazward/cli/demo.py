"""`lazward demo`: a server on a fresh folder, driven by the real clients in a process of their own."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from lazward.cli import env as environment
from lazward.cli.output import fail, progress

NEEDED = ("azure.ai.ml", "azure.identity", "mlflow")


def demo(*, data_dir: str | None = None, port: int | None = None, gateway_port: int | None = None, stop: bool = False) -> int:
    """Train, track, register, deploy and score a real model with the unmodified azure-ai-ml and mlflow packages.

    Parameters
    ----------
    data_dir
        An empty folder for the state; a temporary one by default.
    port
        Port of the control plane; by default a free one.
    gateway_port
        Port of the inference gateway; by default a free one.
    stop
        Stop the server at the end. Without it the server runs on, to look around.
    """
    missing = [name for name in NEEDED if not _there(name)]
    if missing:
        fail(f"The demo drives the server with {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed.", "Install them: pip install 'lazward[demo]'")
    root = Path(data_dir) if data_dir else Path(tempfile.mkdtemp(prefix="lazward-demo-"))
    if root.exists() and any(root.iterdir()):
        fail(f"{root} is not empty.", "Name an empty folder with --data-dir, or leave it out.")
    lazward = [sys.executable, "-P", "-m", "lazward.cli.main"]
    where = ["--data-dir", str(root)]
    progress(f"Starting a server on {root}")
    up = [*lazward, "up", *where, "--detach", "--port", str(port or 0), "--gateway-port", str(gateway_port or 0)]
    if subprocess.run(up, check=False).returncode:
        return 1
    ended = 1
    try:
        ended = subprocess.run([sys.executable, "-P", "-m", "lazward.cli.demo_client"], env=_client_environment(root), check=False).returncode
    finally:
        if stop:
            subprocess.run([*lazward, "down", *where], check=False)
    if not ended and not stop:
        progress(f'\nThe server runs on. Look around:  eval "$(lazward env --data-dir {root})"\nStop it:                          lazward down --data-dir {root}')
    return ended


def _client_environment(root: Path) -> dict[str, str]:
    """What `eval "$(lazward env)"` makes of this environment."""
    layout = environment.datadir.here(str(root))
    endpoint = environment.datadir.read_endpoint(layout)
    principal = environment.datadir.read_json(layout.principal_file)
    assert endpoint is not None and isinstance(principal, dict)
    env = {k: v for k, v in os.environ.items() if k not in environment.MISLEADING}
    return env | environment.variables(endpoint, principal, layout, os.environ)


def _there(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False

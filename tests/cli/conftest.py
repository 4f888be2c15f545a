"""The real command in real processes, with the stand-in of standin_app.py for the parts."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lazward.cli import processes

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


class Install:
    """One data dir and the `lazward` command on it."""

    def __init__(self, data_dir: Path, environ: dict[str, str]):
        self.data_dir = data_dir
        self.environ = environ

    def __call__(self, *argv: str, code: int | None = 0, environ: dict[str, str] | None = None) -> subprocess.CompletedProcess:
        """Runs `lazward ARGV` on this data dir (by LAZWARD_DATA_DIR); checks the exit code unless it is None."""
        done = subprocess.run(self.argv(*argv), env=self.environ | (environ or {}), capture_output=True, text=True, timeout=60)
        assert code is None or done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}\n{self.logs()}"
        return done

    def argv(self, *argv: str) -> list[str]:
        return [sys.executable, str(HERE / "drive.py"), *argv]

    def start(self, *argv: str) -> None:
        """`lazward up --detach` on any free ports; the next start keeps them."""
        free = () if (self.data_dir / "endpoint.json").exists() else ("--port", "0", "--gateway-port", "0")
        self("up", "--detach", *free, *argv)

    def status(self, code: int | None = 0) -> dict:
        return json.loads(self("status", "--json", code=code).stdout)

    def part(self, name: str) -> dict:
        return next(part for part in json.loads((self.data_dir / "run" / "parts.json").read_text()) if part["name"] == name)

    def supervisor(self) -> int:
        return json.loads((self.data_dir / "run" / "server.json").read_text())["pid"]

    def logs(self) -> str:
        return "\n".join(f"--- {p.name}\n{p.read_text()}" for p in sorted((self.data_dir / "logs").glob("*"))) if self.data_dir.exists() else ""

    def stop(self) -> None:
        """Whatever state the test left it in."""
        self("down", code=None)
        for record in self.pids():
            if processes.is_same(*record):
                os.kill(record[0], signal.SIGKILL)

    def pids(self) -> list[tuple[int, str]]:
        try:
            parts = json.loads((self.data_dir / "run" / "parts.json").read_text())
        except (FileNotFoundError, ValueError):
            return []
        return [(part["pid"], part["identity"]) for part in parts]


def until(condition, seconds: float = 20):
    """Waits for the condition; fails when it never holds."""
    assert processes.wait_until(condition, seconds), "it did not happen"


@pytest.fixture(autouse=True)
def same_umask():
    """Commands run in this process set theirs."""
    old = os.umask(0o022)
    yield
    os.umask(old)


@pytest.fixture
def clean_environ(tmp_path):
    """No setting of the developer's machine has a say."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("LAZWARD_", "AZURE_", "IDENTITY_", "XDG_")) and not k.lower().endswith("_proxy")}
    for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE", "PIP_CERT"):
        environ.pop(name, None)
    home = tmp_path / "home"
    home.mkdir()
    return environ | {"HOME": str(home), "PYTHONPATH": f"{ROOT}{os.pathsep}{HERE}", "PYTHONDONTWRITEBYTECODE": ""}


@pytest.fixture
def install(tmp_path, clean_environ):
    made = Install(tmp_path / "data", clean_environ | {"LAZWARD_DATA_DIR": str(tmp_path / "data")})
    yield made
    made.stop()


@pytest.fixture
def wait_for():
    return until

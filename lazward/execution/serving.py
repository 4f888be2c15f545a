"""Starting and watching the model server of a deployment: the process to launch, its sockets, its state, its probes."""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import msgspec

from lazward.domain.ports import ProcessSpec

RUNTIME = Path(__file__).parent / "runtime" / "serve"
MAX_SOCKET_PATH = 103  # bytes; what the smallest of the systems we run on takes
RESERVED = "LAZWARD_SERVE_"


class Service(msgspec.Struct, frozen=True):
    """What a deployment's model server is to run; paths are absolute. Either entry_script or mlflow_model is given."""

    python: Path  # interpreter of the deployment's environment
    socket: Path  # base of the sockets' names; its folder is private to the server
    state: Path  # the server writes its state there
    log: Path
    app_root: Path  # holds the code; the working directory
    entry_script: str | None = None  # relative to app_root
    model_dir: Path | None = None  # AZUREML_MODEL_DIR
    mlflow_model: Path | None = None  # folder that holds MLmodel, or the folder of that
    workers: int = 1  # see worker_count
    timeout_s: float = 5.0  # of one request; run() is interrupted then
    grace_s: float = 30.0  # to finish requests after a TERM
    max_body: int = 100 * 1024 * 1024  # bytes
    env: Mapping[str, str] = {}  # the user's variables and what the launcher adds
    collect_dir: Path | None = None  # where scripts' data collectors write, if azureml-ai-monitoring is not installed


class WorkerStatus(msgspec.Struct, frozen=True):
    """One worker process. `error` says why it ended last, or could not start; `traceback` is the tail of one."""

    index: int
    socket: str
    state: str  # starting, ready, waiting, stopped
    ready: bool
    pid: int | None = None
    restarts: int = 0
    error: str | None = None
    traceback: str | None = None
    since: float = 0.0


class ServiceStatus(msgspec.Struct, frozen=True):
    """status: starting, ready, degraded (no worker is ready any more, they are being restarted), failed, stopping, stopped.

    failed: the model can not be loaded; `error` and `traceback` say why, and the process ends with code 3."""

    status: str
    workers: tuple[WorkerStatus, ...] = ()
    pid: int | None = None
    error: str | None = None
    traceback: str | None = None

    @property
    def ready(self) -> bool:
        return any(worker.ready for worker in self.workers)


class ProbeAnswer(msgspec.Struct, frozen=True):
    status: int  # of HTTP; 0 when nothing answered
    text: str

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300


def process_spec(service: Service) -> ProcessSpec:
    """The process to launch. Raises ValueError that names the field."""
    _check(service)
    venv_bin = service.python.parent
    env = {
        "PATH": os.pathsep.join((str(venv_bin), "/usr/local/bin", "/usr/bin", "/bin")),
        "LANG": "C.UTF-8",
        "SCORING_TIMEOUT_MS": f"{service.timeout_s * 1000:g}",
    }
    env.update({name: value for name, value in service.env.items() if not name.startswith(RESERVED)})
    env.update(
        {
            "VIRTUAL_ENV": str(venv_bin.parent),
            "PYTHONUNBUFFERED": "1",
            "AML_APP_ROOT": str(service.app_root),
            "AZUREML_APP_ROOT": str(service.app_root),
            "LAZWARD_SERVE_SOCKET": str(service.socket),
            "LAZWARD_SERVE_STATE": str(service.state),
            "LAZWARD_SERVE_WORKERS": str(service.workers),
            "LAZWARD_SERVE_GRACE_S": f"{service.grace_s:g}",
            "LAZWARD_SERVE_MAX_BODY": str(service.max_body),
        }
    )
    if service.entry_script:
        env["AZUREML_ENTRY_SCRIPT"] = service.entry_script
    if service.model_dir:
        env["AZUREML_MODEL_DIR"] = str(service.model_dir)
    if service.collect_dir:
        env["LAZWARD_SERVE_COLLECT_DIR"] = str(service.collect_dir)
    if service.mlflow_model:
        env["LAZWARD_SERVE_MLFLOW_MODEL"] = str(service.mlflow_model)
    return ProcessSpec((str(service.python), "-u", str(RUNTIME)), env, str(service.log))


def worker_count(env: Mapping[str, str]) -> int:
    """How many workers the user asks for by WORKER_COUNT; 1 without it. Raises ValueError."""
    text = env.get("WORKER_COUNT", "").strip() or "1"
    if not text.isdecimal() or not 1 <= int(text) <= 256:
        raise ValueError(f"WORKER_COUNT must be a whole number from 1 to 256, not {text!r}")
    return int(text)


def worker_sockets(service: Service) -> tuple[str, ...]:
    """Where the workers listen once they are ready, for DeploymentState.sockets."""
    return tuple(f"{service.socket}.{index}" for index in range(service.workers))


def probe_socket(service: Service) -> str:
    """Where the master answers probes from its start on, for DeploymentState.probe."""
    return f"{service.socket}.probe"


def read_status(path: Path) -> ServiceStatus | None:
    """The state file; None before the server wrote one."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=ServiceStatus)
    except FileNotFoundError:
        return None


async def probe(socket: str, path: str = "/", timeout_s: float = 2.0) -> ProbeAnswer:
    """GET over a unix socket: of the master for liveness and readiness, of a worker to test it. Never raises."""
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_unix_connection(socket)
            try:
                writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
                answer = await reader.read(1024 * 1024)
                while chunk := await reader.read(1024 * 1024):
                    answer += chunk
            finally:
                writer.close()
    except TimeoutError:
        return ProbeAnswer(0, f"no answer within {timeout_s:g} s")
    except OSError as error:
        return ProbeAnswer(0, f"no connection: {error.strerror or error}")
    head, _, body = answer.partition(b"\r\n\r\n")
    words = head.split(b" ", 2)
    if len(words) < 2 or not words[1].isdigit():
        return ProbeAnswer(0, "the answer is not HTTP")
    return ProbeAnswer(int(words[1]), body.decode("utf-8", "replace"))


def socket_folder(data_dir: Path) -> Path:
    """A private folder for sockets: below data_dir, or in the temporary folder where that path is too long for sockets.

    Raises PermissionError when somebody else owns a folder of that name."""
    folder = data_dir.resolve() / "run"
    if len(os.fsencode(folder)) > MAX_SOCKET_PATH - 50:
        digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
        folder = Path(tempfile.gettempdir()) / f"lazward-{os.getuid()}-{digest}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.lstat()
    if folder.is_symlink() or status.st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to another user; remove it")
    folder.chmod(0o700)
    return folder


def _check(service: Service) -> None:
    if bool(service.entry_script) == bool(service.mlflow_model):
        raise ValueError("either entry_script or mlflow_model must be given")
    if service.entry_script:
        root = service.app_root.resolve()
        script = (root / service.entry_script).resolve()
        if not script.is_relative_to(root):
            raise ValueError(f"entry_script {service.entry_script!r} is outside of the code folder")
        if not script.is_file():
            raise ValueError(f"entry_script {service.entry_script!r} is not a file in the code folder")
    if not 1 <= service.workers <= 256:
        raise ValueError(f"workers must be 1 to 256, not {service.workers}")
    if not service.timeout_s > 0:
        raise ValueError(f"timeout_s must be over 0, not {service.timeout_s}")
    # The longest name: a worker's socket before it is moved into place, with a process id.
    if len(os.fsencode(f"{service.socket}.255.4194304")) > MAX_SOCKET_PATH:
        raise ValueError(f"the path of the socket is too long for a unix socket: {service.socket}")

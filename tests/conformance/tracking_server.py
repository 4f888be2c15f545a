"""The tracking surfaces on a TLS port, for the real MLflow packages in a process of their own."""

from __future__ import annotations

import contextlib
import datetime as dt
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import uvicorn

from lazward.apps.blob.routes import blob_routes
from lazward.apps.chain import Context, Route, json_response, public
from lazward.identity.ca import ensure_certificates
from lazward.identity.trust import write_bundle
from lazward.storage.db import Database
from lazward.storage.tables import metadata
from tests.apps.tracking_app import App
from tests.storage.tracking_data import WORKSPACE, make_workspaces

HERE = Path(__file__).parent
# A JWT that MLflow's plugin can read the expiry of; the stand-in for identity knows it by its text.
TOKEN = jwt.encode({"sub": "owner", "exp": 4_000_000_000, "aud": "https://ml.azure.aml.test"}, "x" * 32, algorithm="HS256")


class Server(App):
    """An App that listens, with the addresses an unmodified client is pointed at by its environment."""

    def __init__(self, db: Database, folder: Path):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        super().__init__(db, folder, time.time, self.port)
        self.authority.rights[TOKEN] = [("*", "/")]
        (folder / "keys").mkdir()
        self.certificates = ensure_certificates(folder / "keys", "localhost", dt.datetime.now(dt.UTC))
        self.bundle = folder / "bundle.pem"
        write_bundle(self.bundle, self.certificates.ca, {})

    def routes(self) -> list[Any]:
        surface = super().routes()[0].surface
        why = public("stands in for another surface")
        return [
            *super().routes(),
            Route(("GET",), "/metadata/endpoints", self._metadata, why, surface),
            Route(("GET",), "/msi/token", self._msi, why, surface),
            *blob_routes(self.services),
        ]

    @property
    def authority_url(self) -> str:
        return f"https://127.0.0.1:{self.port}/"

    async def _metadata(self, ctx: Context) -> Any:
        base = self.services.base_url
        return json_response([{
            "name": "Lazward", "portal": "https://portal.x.aml.test", "resourceManager": f"{base}/",
            "authentication": {"loginEndpoint": self.authority_url, "audiences": [base], "tenant": "common", "identityProvider": "AAD"},
            "suffixes": {"storage": "core.windows.net"}, "graph": base,
        }])

    async def _msi(self, ctx: Context) -> Any:
        assert ctx.request.headers["x-identity-header"] == "secret"
        return json_response({"access_token": TOKEN, "expires_on": "4000000000", "resource": ctx.query["resource"], "token_type": "Bearer"})

    def environment(self, **more: str) -> dict[str, str]:
        bundle = str(self.bundle)
        return {
            "PATH": "/usr/bin:/bin", "HOME": str(self.bundle.parent), "REQUESTS_CA_BUNDLE": bundle, "SSL_CERT_FILE": bundle, "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false", "GIT_PYTHON_REFRESH": "quiet", "PYTHONWARNINGS": "ignore",
            "PYTHONPATH": str(HERE.parent.parent), **more,
        }

    def azure_environment(self, **more: str) -> dict[str, str]:
        return self.environment(**{
            "ARM_CLOUD_METADATA_URL": f"{self.services.base_url}/metadata/endpoints?api-version=2019-05-01", "AZUREML_CURRENT_CLOUD": "Lazward",
            "MLFLOW_TRACKING_URI": f"azureml://localhost:{self.port}/mlflow/v1.0{WORKSPACE}", **more,
        })

    def run(self, script: str, *args: str, env: dict[str, str], python: str = sys.executable) -> str:
        """Runs a script of this folder; its output. Fails with it when the script does."""
        done = subprocess.run([python, str(HERE / script), *args], env=env, capture_output=True, text=True, timeout=240, check=False, cwd=self.bundle.parent)
        assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-12000:]}"
        return done.stdout


@contextlib.contextmanager
def serve(folder: Path, *, tls: bool = True, url: str = "") -> Iterator[Server]:
    """url: of an empty database, else one is made in the folder."""
    db = Database(url or f"sqlite:///{folder}/tracking.db")
    metadata.create_all(db.engine)
    make_workspaces(db)
    app = Server(db, folder)
    keys = {"ssl_certfile": str(app.certificates.certificate), "ssl_keyfile": str(app.certificates.key)} if tls else {}
    config = uvicorn.Config(app.chain, http="httptools", ws="none", lifespan="off", access_log=False, log_config=None, **keys)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [app.listener]})
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield app
    finally:
        server.should_exit = True
        thread.join()
        db.close()

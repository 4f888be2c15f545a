"""The issuer on a TLS port, with a certificate of our own CA, for unmodified clients in this process or in others."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import uvicorn

from lazward.identity.ca import ensure_certificates
from lazward.identity.trust import write_bundle
from lazward.storage.db import Database
from lazward.storage.tables import metadata
from tests.apps.identity_app import World


class Server(World):
    def __init__(self, db: Database, folder: Path):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        super().__init__(db, port=self.port)
        self.url, self.by_address = f"https://localhost:{self.port}", f"https://127.0.0.1:{self.port}"
        (folder / "keys").mkdir()
        self.certificates = ensure_certificates(folder / "keys", "localhost", dt.datetime.now(dt.UTC))
        self.bundle = folder / "bundle.pem"
        write_bundle(self.bundle, self.certificates.ca, {})

    def environment(self, **more: str) -> dict[str, str]:
        """What points a client here, without an identity. Nothing else of this process's is an Azure setting."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("AZURE", "ARM_", "IDENTITY_", "MSI_", "MLFLOW_"))}
        return kept | {
            "ARM_CLOUD_METADATA_URL": f"{self.url}/metadata/endpoints?api-version=2019-05-01", "AZUREML_CURRENT_CLOUD": "Lazward",
            "REQUESTS_CA_BUNDLE": str(self.bundle), "SSL_CERT_FILE": str(self.bundle), "AZURE_TOKEN_CREDENTIALS": "prod", "MLFLOW_DISABLE_TELEMETRY": "true", **more,
        }


@contextlib.contextmanager
def serve(folder: Path) -> Iterator[Server]:
    db = Database(f"sqlite:///{folder}/server.db")
    metadata.create_all(db.engine)
    server = Server(db, folder)
    found = server.certificates
    config = uvicorn.Config(server.chain, ssl_certfile=str(found.certificate), ssl_keyfile=str(found.key), log_level="warning", lifespan="off", http="httptools")
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [server.listener]}, daemon=True)
    thread.start()
    try:
        deadline = time.monotonic() + 20
        while not running.started and thread.is_alive() and time.monotonic() < deadline:
            thread.join(0.01)
        assert running.started
        yield server
    finally:
        running.should_exit = running.force_exit = True  # clients keep connections open
        thread.join(20)
        db.close()

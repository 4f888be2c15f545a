"""What lies where in the data dir. Names only: nothing here touches the disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Layout:
    """`root` is the absolute path of the data dir."""

    root_path: str

    @property
    def root(self) -> Path:
        return Path(self.root_path)

    # State: kept for ever, and what a backup holds
    @property
    def database(self) -> Path:
        return self.root / "lazward.db"

    @property
    def blobs(self) -> Path:
        return self.root / "blobs"

    @property
    def keys(self) -> Path:
        return self.root / "keys"

    @property
    def settings_file(self) -> Path:
        return self.root / "settings.toml"

    @property
    def endpoint_file(self) -> Path:
        """Addresses of the last start (JSON), so that URLs stay the same."""
        return self.root / "endpoint.json"

    @property
    def restored_mark(self) -> Path:
        """There from `lazward restore` until the first start has put in order what the backup does not hold (JSON)."""
        return self.root / "restored.json"

    # Work: made again when it is missing
    @property
    def envs(self) -> Path:
        return self.root / "envs"

    @property
    def jobs(self) -> Path:
        return self.root / "jobs"

    @property
    def serving(self) -> Path:
        return self.root / "serving"

    @property
    def gateway(self) -> Path:
        return self.root / "gateway"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    # Of the running server
    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def lock(self) -> Path:
        return self.root / "lock"

    @property
    def server_file(self) -> Path:
        """Pid and addresses of the running server (JSON); gone once it has stopped in good order."""
        return self.run / "server.json"

    @property
    def removal_lock(self) -> Path:
        """Locked by whoever removes bytes of the blob store, and shared by backups, which need what their snapshot names."""
        return self.run / "removal.lock"

    @property
    def parts_file(self) -> Path:
        """The supervisor's record of its children (JSON)."""
        return self.run / "parts.json"

    @property
    def resolved_settings(self) -> Path:
        """The merged settings (JSON) that the children read."""
        return self.run / "settings.json"

    # Keys
    @property
    def ca_certificate(self) -> Path:
        return self.keys / "ca.pem"

    @property
    def server_certificate(self) -> Path:
        return self.keys / "server.pem"

    @property
    def server_key(self) -> Path:
        return self.keys / "server.key"

    @property
    def bundle(self) -> Path:
        """The certificates that clients and children trust: the user's own and our CA."""
        return self.keys / "bundle.pem"

    @property
    def master_key(self) -> Path:
        return self.keys / "master.key"

    @property
    def principal_file(self) -> Path:
        """The first principal (JSON), written by the control plane at the first start."""
        return self.keys / "principal.json"

    @property
    def folders(self) -> tuple[Path, ...]:
        return (self.keys, self.blobs, self.envs, self.jobs, self.serving, self.gateway, self.run, self.logs)


def default_data_dir(environ: Mapping[str, str], home: str) -> str:
    """Where state lies unless something else is said; `home` is absolute."""
    data_home = environ.get("XDG_DATA_HOME", "")
    # The XDG specification tells to ignore relative paths.
    return f"{data_home.rstrip('/')}/lazward" if data_home.startswith("/") else f"{home.rstrip('/')}/.lazward"

from __future__ import annotations

import json
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import lazward.domain.resources  # noqa: F401 - fills the REGISTRY
from lazward.domain.rbac import is_guid
from lazward.domain.rbac_roles import BLOB_DATA_OWNER, OWNER
from lazward.identity.tokens import hash_secret
from lazward.orchestration import bootstrap
from lazward.orchestration.authority import Authority
from lazward.storage import access, resources
from lazward.storage.db import Database
from lazward.storage.secrets import Vault
from lazward.storage.tables import metadata, resource
from tests.apps.identity_app import MASTER_KEY, settings_of

NOW = 1_800_000_000.0


class Install:
    """One server's view: its own file, the shared database."""

    def __init__(self, db: Database, folder: Path, **settings: Any):
        self.db, self.vault, self.settings = db, Vault(MASTER_KEY), settings_of(**settings)
        self.file = folder / "principal.json"

    def authority(self, tenant: str) -> Authority:
        return Authority(self.db, self.vault, MASTER_KEY, base_url=self.settings.base_url, tenant=tenant, lifetime=3600, key_lifetime=90 * 86400, now=lambda: NOW)

    def start(self) -> str:
        return bootstrap.first_start(self.db, self.vault, self.authority, MASTER_KEY, self.file, self.settings, NOW)

    @property
    def principal(self) -> dict[str, str]:
        return json.loads(self.file.read_bytes())


def test_s6_the_first_start_makes_a_random_owner_and_says_so_in_a_private_file(db: Database, tmp_path: Path):
    install = Install(db, tmp_path)
    tenant = install.start()
    found = install.principal
    assert set(found) == {"client_id", "object_id", "secret", "tenant_id", "subscription_id", "resource_group", "workspace"}
    assert found["tenant_id"] == tenant and all(is_guid(found[name]) for name in ("client_id", "object_id", "tenant_id", "subscription_id"))
    assert len(found["secret"]) >= 43 and stat.S_IMODE(install.file.stat().st_mode) == 0o600
    [principal] = db.read_now(access.principals)
    assert (principal.id, principal.app_id, principal.secret_hash) == (found["object_id"], found["client_id"], hash_secret(MASTER_KEY, found["secret"]))
    assert {(a.scope, a.role) for a in db.read_now(access.assignments)} == {("/", OWNER), ("/", BLOB_DATA_OWNER)}
    assert db.read_now(resources.exists, f"/subscriptions/{found['subscription_id']}/resourceGroups/lazward/providers/Microsoft.MachineLearningServices/workspaces/main")


async def test_the_secret_signs_in(db: Database, tmp_path: Path):
    install = Install(db, tmp_path)
    authority = install.authority(install.start())
    caller = await authority.by_identity_secret(install.principal["secret"])
    assert caller is not None
    proven = await authority.authenticate(f"Bearer {authority.token_for(caller, install.settings.base_url)}")
    assert await authority.allowed(proven, "Microsoft.MachineLearningServices/workspaces/jobs/write", f"/subscriptions/{install.principal['subscription_id']}")


def test_two_installs_share_nothing(db: Database, tmp_path: Path):
    other = Database(f"sqlite:///{tmp_path}/other.db")
    metadata.create_all(other.engine)
    (tmp_path / "b").mkdir()
    one, two = Install(db, tmp_path), Install(other, tmp_path / "b")
    one.start()
    two.start()
    same = {name for name in one.principal if one.principal[name] == two.principal[name]}
    other.close()
    assert same == {"resource_group", "workspace"}


def test_later_starts_change_nothing(db: Database, tmp_path: Path):
    install = Install(db, tmp_path)
    tenant, before = install.start(), install.principal
    count = db.read_now(lambda tx: tx.execute(sa.select(sa.func.count()).select_from(resource)).scalar_one())
    assert install.start() == tenant and install.principal == before and len(db.read_now(access.principals)) == 1
    assert db.read_now(lambda tx: tx.execute(sa.select(sa.func.count()).select_from(resource)).scalar_one()) == count


def test_killed_before_the_file_was_written(db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    install = Install(db, tmp_path)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(bootstrap, "write_private", killed)
        with pytest.raises(KeyboardInterrupt):
            install.start()
    assert not install.file.exists()
    install.start()
    [principal] = db.read_now(access.principals)
    assert principal.secret_hash == hash_secret(MASTER_KEY, install.principal["secret"])


def test_s16_the_secret_does_not_stay_in_the_database(db: Database, tmp_path: Path):
    install = Install(db, tmp_path)
    install.start()
    assert db.read_now(install.vault.get, bootstrap.FIRST_PRINCIPAL) is None


def test_processes_that_start_together_agree(db: Database, tmp_path: Path):
    installs = []
    for i in range(4):
        (tmp_path / str(i % 2)).mkdir(exist_ok=True)
        installs.append(Install(db, tmp_path / str(i % 2)))  # two servers, each with two processes
    tenants: list[str] = []
    threads = [threading.Thread(target=lambda install=install: tenants.append(install.start())) for install in installs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(tenants) == 4 and len(set(tenants)) == 1
    [principal] = db.read_now(access.principals)
    written = [install for install in installs[:2] if install.file.exists()]
    assert written and all(hash_secret(MASTER_KEY, install.principal["secret"]) == principal.secret_hash for install in written)


def test_a_file_that_was_moved_away_is_not_made_again(db: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    install = Install(db, tmp_path)
    install.start()
    install.file.unlink()
    install.start()
    assert not install.file.exists() and "is missing" in caplog.text


def test_addresses_in_documents_follow_the_server(db: Database, tmp_path: Path):
    Install(db, tmp_path, port=8443).start()
    install = Install(db, tmp_path, port=9443)
    install.start()
    documents = str(db.read_now(lambda tx: tx.execute(sa.select(resource.c.doc)).all()))
    assert "localhost:9443" in documents and "localhost:8443" not in documents

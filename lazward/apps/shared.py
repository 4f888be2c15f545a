"""Parts that control plane and worker build alike."""

from __future__ import annotations

import time

from lazward.domain.settings import Settings
from lazward.identity.master_key import ensure_master_key
from lazward.orchestration.authority import Authority
from lazward.orchestration.bootstrap import first_start
from lazward.storage.blobs.extents import Extents
from lazward.storage.blobs.store import BlobStore
from lazward.storage.db import Database
from lazward.storage.secrets import Vault


def load_master_key(settings: Settings) -> bytes:
    return ensure_master_key(settings.layout.master_key)


def build_blobs(settings: Settings, db: Database) -> BlobStore:
    return BlobStore(db, Extents.from_url(settings.storage_url, fsync=settings.sqlite_synchronous == "full"), time.time)


def build_authority(settings: Settings, db: Database, master_key: bytes) -> tuple[Vault, Authority]:
    vault = Vault(master_key)

    def of(tenant: str) -> Authority:
        return Authority(
            db, vault, master_key, base_url=settings.base_url, tenant=tenant, lifetime=settings.access_token_lifetime, key_lifetime=settings.signing_key_lifetime
        )

    tenant = first_start(db, vault, of, master_key, settings.layout.principal_file, settings, time.time())
    return vault, of(tenant)

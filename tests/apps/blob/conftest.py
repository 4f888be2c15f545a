"""Raw requests to the storage endpoints: what no well-behaved client sends can be sent too."""

import time
from email.utils import formatdate
from urllib.parse import quote

import httpx2
import pytest

from lazward.apps.blob.call import parse_query
from lazward.apps.blob.routes import blob_routes
from lazward.apps.chain import Chain
from lazward.apps.control import build_services
from lazward.domain.settings import Source, merge
from lazward.identity import sas
from lazward.storage.blobs.store import BlobStore
from tests.live import ACCOUNT, ARM, MASTER_KEY, FakeAuthority, add_workspace

KEY = sas.account_key(MASTER_KEY, ACCOUNT)


class Raw:
    """Requests signed with the account's key unless key=None; paths are sent as they are given."""

    def __init__(self, db, extents):
        add_workspace(db)
        self.authority = FakeAuthority()
        self.store = BlobStore(db, extents, time.time)
        settings = merge([Source("test", {"data_dir": "/nonexistent", "port": 8443})]).settings
        self.services = build_services(settings, db, master_key=MASTER_KEY, authority=self.authority, blobs=self.store)
        self.chain = Chain(self.services, blob_routes(self.services), fallback=ARM)
        self.client = httpx2.AsyncClient(transport=httpx2.ASGITransport(self.chain, raise_app_exceptions=False), base_url="https://localhost:8443")

    async def __call__(self, method, path, *, body=b"", key=KEY, endpoint="blob", account=ACCOUNT, host="localhost:8443", **headers):
        """path: /container/blob?query, encoded. Headers with _ for -."""
        raw = f"/{account}.{endpoint}.core.windows.net{path}"
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        named = {"host": host, "x-ms-date": formatdate(self.services.now(), usegmt=True), "x-ms-version": "2023-11-03", **named}
        if body or method in ("PUT", "POST", "PATCH"):
            named.setdefault("content-length", str(len(body)))
        if key:
            raw_path, _, query = raw.partition("?")
            name = f"{account}.{endpoint}.core.windows.net"
            named["authorization"] = sas.sign_shared_key(key, name, method=method, raw_path=raw_path, query=parse_query(query), headers=named)
        request = httpx2.Request(method, httpx2.URL("https://localhost:8443").copy_with(raw_path=raw.encode()), content=body, headers=named)
        return await self.client.send(request)

    def signed(self, path, permissions, **kwargs):
        """A query with a signature for /container[/blob]."""
        container, _, blob = path.strip("/").partition("/")
        return sas.sign_blob_sas(KEY, ACCOUNT, container, blob or None, permissions=permissions, expires=self.services.now() + 600, **kwargs)


@pytest.fixture
async def raw(db, tmp_path):
    from lazward.storage.blobs.extents import Extents

    extents = Extents.from_url(str(tmp_path / "extents"))
    made = Raw(db, extents)
    await made.store.ensure_container(ACCOUNT, "cont")
    yield made
    await made.client.aclose()
    extents.close()


def q(text):
    return quote(text, safe="")

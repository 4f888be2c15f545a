"""Blob storage behind a server that the real storage clients talk to, in path style as `lazward env` sets it up."""

import uuid

import pytest
from azure.storage.filedatalake import DataLakeServiceClient

from lazward.apps.blob.routes import blob_routes
from tests.conformance.blob_clients import client_of
from tests.live import serve


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    with serve(blob_routes, tmp_path_factory.mktemp("blob")) as live:
        yield live


@pytest.fixture(scope="module")
def service(live):
    return client_of(live)


@pytest.fixture
def container(service):
    return service.create_container(f"c{uuid.uuid4().hex[:12]}")


@pytest.fixture(scope="module")
def lake(live):
    return client_of(live, kind=DataLakeServiceClient, endpoint="dfs")


@pytest.fixture
def fs(lake):
    return lake.create_file_system(f"f{uuid.uuid4().hex[:12]}")

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lazward.domain.audiences import AML_RESOURCE
from tests.apps.identity_app import World, world_in


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with world_in(tmp_path) as world:
        yield world


async def get(world: World, version: str = "2019-05-01", host: str = "localhost:8443"):
    answer = await world.client.get(f"/metadata/endpoints?api-version={version}", headers={"Host": host})
    assert answer.status_code == 200
    return answer.json()


@pytest.mark.parametrize("host", ["localhost:8443", "127.0.0.1:8443", "LOCALHOST:8443"])
async def test_the_array_that_the_sdk_reads(world: World, host: str):
    [cloud] = await get(world, host=host)
    assert cloud["name"] == "Lazward"
    # The SDK takes the cloud whose resourceManager is a part of ARM_CLOUD_METADATA_URL.
    assert cloud["resourceManager"] in f"https://{host.lower()}/metadata/endpoints?api-version=2019-05-01"
    # How it makes the AML resource id.
    assert "https://ml.azure." + ".".join(cloud["portal"].split(".")[2:]).replace("/", "") == AML_RESOURCE
    # How azureml-mlflow takes the authority: a name with a port would be read as a scheme.
    assert cloud["authentication"]["loginEndpoint"] == "https://127.0.0.1:8443/"
    assert cloud["authentication"]["audiences"][0] == f"https://{host.lower()}" and cloud["suffixes"]["storage"] == "core.windows.net"


async def test_the_object_that_az_reads(world: World):
    cloud = await get(world, "2022-09-01")
    assert cloud["name"] == "Lazward" and cloud["resourceManager"] == "https://localhost:8443" and cloud["microsoftGraphResourceId"] == "https://localhost:8443/"


async def test_a_public_name_is_its_own_authority(tmp_path: Path):
    async with world_in(tmp_path, public_host="ml.corp.example") as world:
        world.chain.services.allowed_hosts |= {"ml.corp.example"}
        [cloud] = await get(world, host="ml.corp.example:8443")
    assert cloud["resourceManager"] == "https://ml.corp.example:8443/" and cloud["authentication"]["loginEndpoint"] == "https://ml.corp.example:8443/"
    assert "https://ml.azure." + ".".join(cloud["portal"].split(".")[2:]).replace("/", "") == AML_RESOURCE


async def test_s8_a_foreign_host_is_not_repeated(world: World):
    answer = await world.client.get("/metadata/endpoints?api-version=2019-05-01", headers={"Host": "evil.example"})
    assert answer.status_code == 421
    [cloud] = await get(world, host="localhost:9999")
    assert cloud["resourceManager"] == "https://localhost:8443/"

"""MLflow's registry over ARM's documents: models, which ARM shows, and prompts, which it does not."""

from __future__ import annotations

import asyncio

import pytest

from lazward.apps.mlflow.models_port import ModelVersion
from lazward.apps.model_registry import StoredModels
from lazward.contract.caller import Caller
from lazward.contract.errors import ArmError
from lazward.domain.genai.prompts import IS_PROMPT
from lazward.storage import access
from tests.control_plane import Plane
from tests.make import CURATED

ME = Caller(id="me", name="me")
URI = "azureml://datastores/workspaceblobstore/paths/net/"
PROMPT = {IS_PROMPT: "true"}


@pytest.fixture
def home(plane: Plane) -> str:
    return plane.workspace().lower()


@pytest.fixture
def models(plane: Plane) -> StoredModels:
    return StoredModels(plane.db, plane.chain.services.settings)


def draft(name: str, **more) -> ModelVersion:
    facts = {"version": "", "uri": URI, "type": "mlflow_model", "description": "d", "tags": {"t": "1"}, "properties": {"p": "2"}, "stage": "None", "created": 0.0, "updated": 0.0, "job_name": ""}
    return ModelVersion(name=name, **{**facts, **more})


async def add(models: StoredModels, home: str, one: ModelVersion, caller: Caller = ME) -> ModelVersion:
    await models.create_model(home, one.name, "", {k: v for k, v in one.tags.items() if k == IS_PROMPT}, caller)
    made = await models.create_version(home, one, caller)
    assert made is not None
    return made


class TestModels:
    def test_what_mlflow_registers_arm_shows(self, plane: Plane, home: str, models: StoredModels):
        made = asyncio.run(add(models, home, draft("net"), ME))
        assert (made.name, made.version, made.uri) == ("net", "1", URI)
        shown = plane.get(f"{home}/models/net/versions/1")["properties"]
        assert (shown["modelUri"], shown["modelType"], shown["tags"], shown["properties"]) == (URI, "mlflow_model", {"t": "1"}, {"p": "2"})
        assert asyncio.run(add(models, home, draft("NET"), ME)).version == "2"  # one model, however it is spelled
        assert [v.version for v in asyncio.run(models.versions(home, "net"))] == ["1", "2"]

    def test_what_arm_registers_mlflow_sees_until_it_is_archived(self, plane: Plane, home: str, models: StoredModels):
        plane.put(f"{home}/models/arm/versions/7", {"properties": {"modelUri": URI, "tags": {"n": "1"}}})
        found = asyncio.run(models.version(home, "arm", "7"))
        assert found is not None and (found.uri, found.type, found.tags) == (URI, "custom_model", {"n": "1"})
        assert asyncio.run(models.place(home, "arm", "7"))[2].rstrip("/") == "net"
        plane.put(f"{home}/models/arm/versions/7", {"properties": {"modelUri": URI, "isArchived": True}})
        assert asyncio.run(models.version(home, "arm", "7")) is None and asyncio.run(models.place(home, "arm", "7")) is None

    def test_a_name_is_taken_once(self, home: str, models: StoredModels):
        assert asyncio.run(models.create_model(home, "once", "first", {}, ME)) is not None
        assert asyncio.run(models.create_model(home, "Once", "second", {}, ME)) is None
        found = asyncio.run(models.model(home, "once"))
        assert found is not None and found.description == "first"

    def test_a_change_is_of_what_may_change(self, home: str, models: StoredModels):
        asyncio.run(add(models, home, draft("net"), ME))

        def change(version: ModelVersion) -> None:
            version.stage, version.description, version.tags = "Production", "better", {"new": "1"}

        asyncio.run(models.update_version(home, "net", "1", change, ME))
        found = asyncio.run(models.version(home, "net", "1"))
        assert found is not None and (found.stage, found.description, found.tags, found.uri) == ("Production", "better", {"new": "1"}, URI)
        assert asyncio.run(models.update_version(home, "net", "9", change, ME)) is None

    def test_what_is_in_use_stays(self, plane: Plane, home: str, models: StoredModels):
        asyncio.run(add(models, home, draft("net"), ME))
        job = f"{home}/jobs/busy"
        plane.put(job, {"properties": {"jobType": "Command", "command": "x", "environmentId": CURATED, "inputs": {"m": {"jobInputType": "mlflow_model", "uri": "azureml:net:1"}}}})
        with pytest.raises(ArmError) as caught:
            asyncio.run(models.delete_version(home, "net", "1"))
        assert (caught.value.status, caught.value.code) == (409, "ResourceInUse")
        plane.job_is(job, "Completed")
        assert asyncio.run(models.delete_version(home, "net", "1")) is True
        assert asyncio.run(models.delete_version(home, "net", "1")) is False

    def test_files_that_are_on_the_web_have_no_place_here(self, home: str, models: StoredModels):
        asyncio.run(add(models, home, draft("far", uri="https://example.com/model/"), ME))
        with pytest.raises(ArmError) as caught:
            asyncio.run(models.place(home, "far", "1"))
        assert (caught.value.code, caught.value.target) == ("ModelOnTheWeb", "modelUri")

    def test_no_version_without_its_model(self, home: str, models: StoredModels):
        assert asyncio.run(models.create_version(home, draft("net"), ME)) is None


class TestRename:
    def test_the_model_and_its_versions_move(self, plane: Plane, home: str, models: StoredModels):
        for _ in range(2):
            asyncio.run(add(models, home, draft("net")))
        asyncio.run(add(models, home, draft("nets")))  # a longer name is not below it
        plane.db.write_now(access.assign, f"{home}/models/net", "somebody", "acdd72a7-3385-48ef-bd42-f606fba81ae7", 1.0)
        found = asyncio.run(models.rename_model(home, "net", "Better", ME))
        assert found is not None and found.name == "Better"
        assert [v.version for v in asyncio.run(models.versions(home, "better"))] == ["1", "2"]
        assert asyncio.run(models.model(home, "net")) is None and asyncio.run(models.versions(home, "net")) == []
        shown = plane.get(f"{home}/models/better/versions/2")
        assert (shown["id"].rsplit("/models/", 1)[1], shown["properties"]["modelUri"]) == ("Better/versions/2", URI)
        assert [one["name"] for one in plane.get(f"{home}/models")["value"]] == ["Better", "nets"]
        assert asyncio.run(add(models, home, draft("better"))).version == "3"
        assert f"{home}/models/net" not in {one.scope for one in plane.db.read_now(access.assignments)}

    def test_to_another_spelling_of_its_name(self, plane: Plane, home: str, models: StoredModels):
        asyncio.run(add(models, home, draft("net")))
        asyncio.run(models.rename_model(home, "net", "NET", ME))
        assert [one["name"] for one in plane.get(f"{home}/models")["value"]] == ["NET"]
        assert plane.get(f"{home}/models/net/versions/1")["id"].endswith("/models/NET/versions/1")

    def test_refusals(self, plane: Plane, home: str, models: StoredModels):
        asyncio.run(add(models, home, draft("net")))
        asyncio.run(add(models, home, draft("other")))
        asyncio.run(models.create_model(home, "words", "", PROMPT, ME))
        assert asyncio.run(models.rename_model(home, "none", "x", ME)) is None
        for taken in ("other", "words"):
            with pytest.raises(ArmError) as caught:
                asyncio.run(models.rename_model(home, "net", taken, ME))
            assert (caught.value.status, caught.value.code) == (400, "RESOURCE_ALREADY_EXISTS")
        with pytest.raises(ArmError) as caught:
            asyncio.run(models.rename_model(home, "net", "a/b", ME))
        assert caught.value.status == 400
        plane.put(f"{home}/jobs/busy", {"properties": {"jobType": "Command", "command": "x", "environmentId": CURATED, "inputs": {"m": {"jobInputType": "mlflow_model", "uri": "azureml:net:1"}}}})
        with pytest.raises(ArmError) as caught:
            asyncio.run(models.rename_model(home, "net", "x", ME))
        assert (caught.value.status, caught.value.code) == (409, "ResourceInUse")
        assert "cannot be renamed: it is used by the job 'busy'" in caught.value.message
        plane.job_is(f"{home}/jobs/busy", "Completed")
        assert asyncio.run(models.rename_model(home, "net", "x", ME)) is not None


class TestPrompts:
    def test_they_are_no_models_to_arm(self, plane: Plane, home: str, models: StoredModels):
        made = asyncio.run(add(models, home, draft("greet", uri="", tags={**PROMPT, "mlflow.prompt.text": "x" * 90_000})))
        assert (made.version, len(made.tags["mlflow.prompt.text"])) == ("1", 90_000)
        assert [m.name for m in asyncio.run(models.models(home))] == ["greet"]
        for view in ("ActiveOnly", "All", "ArchivedOnly"):
            assert plane.get(f"{home}/models?listViewType={view}")["value"] == []
        assert plane.send("GET", f"{home}/models/greet?api-version=2025-12-01").status == 404
        assert plane.send("GET", f"{home}/prompts/greet?api-version=2025-12-01").status == 501
        assert asyncio.run(models.place(home, "greet", "1")) is None
        assert asyncio.run(models.delete_version(home, "greet", "1")) and asyncio.run(models.delete_model(home, "greet"))
        assert asyncio.run(models.models(home)) == []

    def test_a_name_is_a_models_or_a_prompts(self, plane: Plane, home: str, models: StoredModels):
        assert asyncio.run(models.create_model(home, "one", "", PROMPT, ME)) is not None
        assert asyncio.run(models.create_model(home, "One", "", {}, ME)) is None
        for path in ("models/one", "models/one/versions/1"):
            answer = plane.send("PUT", f"{home}/{path}?api-version=2025-12-01", {"properties": {"modelUri": URI}})
            assert (answer.status, answer.error["code"]) == (409, "NameOfPrompt"), path
        asyncio.run(models.create_model(home, "two", "", {}, ME))
        assert asyncio.run(models.create_model(home, "two", "", PROMPT, ME)) is None

    def test_they_are_renamed(self, home: str, models: StoredModels):
        asyncio.run(add(models, home, draft("a", uri="", tags=PROMPT)))
        found = asyncio.run(models.rename_model(home, "a", "b", ME))
        assert found is not None and found.tags == PROMPT
        assert [v.name for v in asyncio.run(models.versions(home, "a", "b"))] == ["b"]

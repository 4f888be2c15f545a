"""Deployments with real model servers (in a bare environment that sees this Python's packages); the gateway is a list of what it was told."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import msgspec
import pytest

from lazward.contract.errors import ArmError
from lazward.execution.serving import probe
from lazward.orchestration import deployments
from lazward.orchestration.deployment_build import model_packages
from lazward.orchestration.instances import facts_of, instances_of, launch_of
from lazward.storage import tasks
from tests.orchestration.place import HOME

BLUE = "onlineEndpoints/one/deployments/blue"
KEY = f"{HOME}/{BLUE}".lower()
GOOD = "def init(): pass\ndef run(data): return 1\n"
BAD = "def init(): raise RuntimeError('no such model')\ndef run(data): return 1\n"
SLOW = "import os, time\ndef init():\n    while not os.path.exists(os.environ['GO']): time.sleep(0.01)\ndef run(data): return 1\n"


@pytest.fixture
async def online(place):
    """An endpoint, and code for its deployments; the model servers find uvicorn where this process does."""
    environment = place.environments.environment
    site = Path(os.__file__).parent  # where the test's own packages are, by name of a module that every one has
    import httptools

    (environment.site_packages / "packages.pth").write_text(f"{Path(httptools.__file__).parents[1]}\n")
    assert site
    place.code_id = await place.code("scores", {"good.py": GOOD, "bad.py": BAD, "slow.py": SLOW})
    place.put("onlineEndpoints/one", {"authMode": "Key"}, location="local")
    yield place
    await place.stop()


def deploy(place, script: str = "good.py", capacity: int = 1, **variables: str) -> None:
    place.put(BLUE, {
        "environmentId": f"{HOME}/environments/plain/versions/1", "codeConfiguration": {"codeId": place.code_id, "scoringScript": script},
        "environmentVariables": variables,
    }, location="local", sku={"name": "Default", "capacity": capacity})


async def settled(place, path: str = BLUE) -> str:
    def ask():
        state = place.facts(path)["provisioningState"]
        return state in ("Succeeded", "Failed", "Canceled") and state

    return await place.until(ask, lambda: place.facts(path))


def serving(place) -> tuple[int, list]:
    facts = facts_of(place.get(BLUE))
    return facts.get("generation", 0), instances_of(facts)


async def answers(place) -> bool:
    """Every instance that the gateway knows answers its probe, and there are some."""
    sockets = place.gateway.sockets("one").get("blue", ())
    found = [await probe(socket) for socket in sockets]
    return bool(found) and all(answer.status for answer in found)


async def one_launch_for_each_instance(place) -> None:
    """No model server is left of anything but what serves now."""
    generation, instances = serving(place)
    wanted = sorted(place.executor.folder(launch_of(KEY, generation, i)).rsplit("/", 1)[-1] for i in instances)
    await place.until(lambda: place.launches() == wanted, lambda: (place.launches(), wanted))


class TestApply:
    async def test_serves_when_it_says_so(self, online):
        deploy(online, capacity=2)
        await online.start()
        assert await settled(online) == "Succeeded"
        assert len(online.gateway.sockets("one")["blue"]) == 2
        assert await answers(online)
        await one_launch_for_each_instance(online)

    async def test_says_what_versions_it_has_instead_of_those_asked_for(self, online):
        bare = online.environments.environment
        for loosened, told in ((("numpy 1.21.2 -> 1.23.2",), "numpy 1.21.2 -> 1.23.2"), ((), None)):
            online.environments.environment = msgspec.structs.replace(bare, loosened=loosened)
            deploy(online, MARK=str(told))
            await online.start()
            assert await settled(online) == "Succeeded"
            await online.stop()
            assert (online.facts(BLUE).get("properties") or {}).get("lazward.environment.loosened") == told

    async def test_the_same_again_changes_no_process(self, online):
        deploy(online)
        await online.start()
        await settled(online)
        before = serving(online)
        deploy(online)
        assert await settled(online) == "Succeeded"
        assert serving(online) == before

    async def test_another_spec_makes_a_generation_and_ends_the_old_one(self, online):
        deploy(online)
        await online.start()
        await settled(online)
        deploy(online, MARK="2")
        assert await settled(online) == "Succeeded"
        assert serving(online)[0] == 2
        assert await answers(online)
        await one_launch_for_each_instance(online)
        assert online.folders(f"serving/{online.runtime.folder('serving', KEY).name}") == ["2", "logs"]

    async def test_one_that_cannot_load_says_why_and_leaves_the_old_one_serving(self, online):
        deploy(online)
        await online.start()
        await settled(online)
        deploy(online, "bad.py")
        assert await settled(online) == "Failed"
        assert "no such model" in facts_of(online.get(BLUE))["error"]["message"]
        assert serving(online)[0] == 1
        assert await answers(online)
        await one_launch_for_each_instance(online)

    async def test_a_build_that_fails_leaves_nothing(self, online):
        online.environments.error = ArmError(400, "EnvironmentBuildFailed", "no such package")
        deploy(online)
        await online.start()
        assert await settled(online) == "Failed"
        assert online.launches() == []
        assert online.folders(f"serving/{online.runtime.folder('serving', KEY).name}") == ["logs"]


class TestAnotherWorkerTakesOver:
    async def test_while_the_environment_is_built(self, online):
        online.environments.open.clear()
        deploy(online)
        await online.start()
        await online.until(lambda: online.environments.asked)
        await online.stop()
        online.environments.open.set()
        await online.start()
        assert await settled(online) == "Succeeded"
        await one_launch_for_each_instance(online)

    async def test_while_the_model_loads_it_goes_on_loading(self, online, tmp_path):
        """The same process, not a second one, and its files are still under it."""
        deploy(online, "slow.py", GO=str(tmp_path / "go"))
        await online.start()
        await online.until(online.launches)
        await online.stop()
        before = online.launches()
        await online.start()
        await asyncio.sleep(0.2)
        (tmp_path / "go").touch()
        assert await settled(online) == "Succeeded"
        assert online.launches() == before
        assert await answers(online)

    async def test_while_the_model_loads_and_its_process_died(self, online, tmp_path):
        deploy(online, "slow.py", GO=str(tmp_path / "go"))
        await online.start()
        await online.until(online.launches)
        await online.stop()
        await self.kill_keepers(online)
        await online.start()
        (tmp_path / "go").touch()
        assert await settled(online) == "Succeeded"
        assert await answers(online)

    async def kill_keepers(self, online) -> None:
        import json

        for folder in (online.folder / "run" / "launches").glob("*.*"):
            await online.until((folder / "keeper.json").exists)
            os.kill(json.loads((folder / "keeper.json").read_text())["pid"], signal.SIGKILL)

    async def test_after_the_switch_the_old_generation_ends_all_the_same(self, online, monkeypatch):
        deploy(online)
        await online.start()
        await settled(online)
        ended = asyncio.Event()

        async def die(*args):
            ended.set()
            await asyncio.Event().wait()

        with monkeypatch.context() as patch:
            patch.setattr(deployments, "end_generation", die)
            deploy(online, MARK="2")
            await asyncio.wait_for(ended.wait(), 20)
            await online.stop()
        assert len(online.launches()) == 2
        await online.start()
        assert await settled(online) == "Succeeded"
        await one_launch_for_each_instance(online)

    async def test_after_a_failure_that_was_not_yet_written(self, online, monkeypatch):
        ended = asyncio.Event()

        async def die(*args):
            ended.set()
            await asyncio.Event().wait()

        with monkeypatch.context() as patch:
            patch.setattr(deployments, "end_generation", die)
            deploy(online, "bad.py")
            await online.start()
            await asyncio.wait_for(ended.wait(), 20)
            await online.stop()
        await online.start()
        assert await settled(online) == "Failed"
        assert "no such model" in facts_of(online.get(BLUE))["error"]["message"]
        assert online.launches() == []


class TestKeep:
    async def kill(self, online) -> None:
        """The whole model server, as a machine that runs out of memory does it."""
        _, [instance] = serving(online)
        os.kill((await asyncio.to_thread(deployments_status, instance)).pid, signal.SIGKILL)

    async def test_what_ends_by_itself_is_started_again_on_the_same_sockets(self, online):
        deploy(online)
        await online.start()
        await settled(online)
        before = online.gateway.sockets("one")["blue"]
        await self.kill(online)
        await online.until(lambda: serving(online)[1][0].restarts == 1)
        deadline = time.monotonic() + 30
        while not await answers(online):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)
        assert online.gateway.sockets("one")["blue"] == before
        await one_launch_for_each_instance(online)

    async def test_an_update_after_that_leaves_no_process(self, online):
        deploy(online)
        await online.start()
        await settled(online)
        await self.kill(online)
        await online.until(lambda: serving(online)[1][0].restarts == 1)
        deploy(online, MARK="2")
        assert await settled(online) == "Succeeded"
        await one_launch_for_each_instance(online)

    async def test_what_ended_while_no_worker_lived(self, online):
        deploy(online)
        await online.start()
        await settled(online)
        await online.stop()
        await self.kill(online)
        await online.executor.wait(launch_of(KEY, 1, serving(online)[1][0]), 20)
        await online.start()
        await online.until(lambda: serving(online)[1][0].restarts == 1)
        await one_launch_for_each_instance(online)

    async def test_a_start_that_fails_does_not_end_the_keeping(self, online, monkeypatch):
        deploy(online)
        await online.start()
        await settled(online)
        start, failures = deployments.start, [RuntimeError("no memory")]

        async def moody(*args):
            if failures:
                raise failures.pop()
            await start(*args)

        monkeypatch.setattr(deployments, "start", moody)
        monkeypatch.setattr(deployments, "LOOK_S", 0.05)
        await self.kill(online)
        await online.until(lambda: not failures)
        await online.until(lambda: online.db.read_now(tasks.open_for, KEY, "deployment.keep"))
        deadline = time.monotonic() + 30
        while not await answers(online):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)


def deployments_status(instance):
    from lazward.execution.serving import read_status

    found = read_status(instance.service.state)
    assert found and found.pid
    return found


class TestDelete:
    async def gone(self, online, path: str = BLUE) -> None:
        await online.until(lambda: online.get(path) is None, lambda: online.get(path))
        await online.until(lambda: online.launches() == [] and online.folders("serving") == [], lambda: (online.launches(), online.folders("serving")))
        assert online.open_tasks(KEY) == []

    async def test_leaves_no_process_and_no_file(self, online):
        deploy(online)
        await online.start()
        await settled(online)
        online.delete(BLUE)
        await self.gone(online)
        assert "blue" not in online.gateway.sockets("one")

    async def test_of_the_endpoint_takes_its_deployments_along(self, online):
        deploy(online)
        await online.start()
        await settled(online)
        online.delete("onlineEndpoints/one")
        await self.gone(online, "onlineEndpoints/one")

    async def test_while_the_model_loads(self, online, tmp_path):
        deploy(online, "slow.py", GO=str(tmp_path / "never"))
        await online.start()
        await online.until(online.launches)
        online.delete(BLUE)
        await self.gone(online)

    async def test_while_no_worker_lives_and_a_model_loads(self, online, tmp_path):
        deploy(online, "slow.py", GO=str(tmp_path / "never"))
        await online.start()
        await online.until(online.launches)
        await online.stop()
        online.delete("onlineEndpoints/one")
        await online.start()
        await self.gone(online, "onlineEndpoints/one")

    async def test_after_a_worker_died_at_it(self, online, monkeypatch):
        deploy(online)
        await online.start()
        await settled(online)
        begun = asyncio.Event()

        async def die(*args):
            begun.set()
            await asyncio.Event().wait()

        with monkeypatch.context() as patch:
            patch.setattr(deployments, "end_generation", die)
            online.delete(BLUE)
            await asyncio.wait_for(begun.wait(), 20)
            await online.stop()
        await online.start()
        await self.gone(online)

    async def test_nothing_can_be_made_in_an_endpoint_that_goes(self, online):
        online.delete("onlineEndpoints/one")
        with pytest.raises(ArmError) as caught:
            deploy(online)
        assert caught.value.status == 409

    async def test_a_name_can_be_taken_again(self, online):
        for _ in range(2):
            online.put("onlineEndpoints/one", {"authMode": "Key"}, location="local")
            deploy(online)
            await online.start()
            assert await settled(online) == "Succeeded"
            online.delete("onlineEndpoints/one")
            await self.gone(online, "onlineEndpoints/one")
            await online.stop()


class TestPutSaidTwice:
    async def test_gets_the_operation_that_goes_on(self, online):
        """The connection broke before the answer; the client repeats itself while the first one is at work."""
        deploy(online)
        first = online.db.read_now(tasks.open_for, KEY, "deployment.apply")
        deploy(online)
        assert online.db.read_now(tasks.open_for, KEY, "deployment.apply").id == first.id
        with pytest.raises(ArmError) as caught:
            deploy(online, MARK="another")
        assert caught.value.status == 409


class TestModelPackages:
    def test_mlflow_is_added_where_a_model_does_not_name_it(self, tmp_path):
        (tmp_path / "conda.yaml").write_text("dependencies: [python=3.11, {pip: [scikit-learn==1.5.0]}]")
        found = model_packages(tmp_path).requirements
        assert any(r.startswith("scikit-learn") for r in found) and "mlflow-skinny" in found

    def test_requirements_and_python_of_a_model_without_conda_file(self, tmp_path):
        (tmp_path / "requirements.txt").write_text("mlflow==2.9\nnumpy\n")
        (tmp_path / "python_env.yaml").write_text("python: 3.11.4\n")
        found = model_packages(tmp_path)
        assert found.requirements == ("mlflow==2.9", "numpy") and found.python.startswith("3.11")

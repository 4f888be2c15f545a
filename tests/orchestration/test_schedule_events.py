"""Schedules that wait for what happens: each event is answered once, by those that it is meant for, and no loop goes on for ever."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

import lazward.apps.arm.actions_assets
import lazward.orchestration.schedule_events  # noqa: F401 - these fill the registries
from lazward.contract.errors import ArmError
from lazward.orchestration import durable, schedules
from lazward.orchestration.durable import Outcome
from lazward.orchestration.job_finish import register_outputs, set_state
from lazward.storage import resources, tables
from tests.orchestration.timetable import COMMAND, HOME, HOURLY, ME, OTHER, Timetable

MODEL: dict[str, Any] = {"modelUri": "azureml://datastores/workspaceblobstore/paths/m", "modelType": "custom_model"}
DATA: dict[str, Any] = {"dataUri": "azureml://datastores/workspaceblobstore/paths/d/", "dataType": "uri_folder"}


@pytest.fixture
def timetable(db, clock, tmp_path, monkeypatch) -> Timetable:
    async def stand_still(work):
        return Outcome("InProgress", delay=1e9)

    kinds = ("schedule.run", "schedule.event", "schedule.apply", "schedule.delete")
    monkeypatch.setattr(durable, "HANDLERS", {**{kind: durable.HANDLERS[kind] for kind in kinds}, "job.run": stand_still, "gateway.sync": stand_still})
    return Timetable(db, clock, tmp_path)


def on(kind: str, **more: str) -> dict[str, Any]:
    return {"triggerType": "Event", "eventType": kind, **more}


def events(timetable: Timetable) -> list[dict[str, str]]:
    """Of the jobs that schedules have submitted."""
    rows = timetable.db.read_now(resources.every, "microsoft.machinelearningservices/workspaces/jobs", parent=HOME)
    return [json.loads(said) for row in rows if (said := row.properties["properties"].get("lazward.event"))]


def end(timetable: Timetable, name: str, status: str = "Completed") -> None:
    timetable.db.write_now(set_state, f"{HOME}/jobs/{name}".lower(), status, timetable.clock())


class TestEvents:
    async def test_a_model_is_registered(self, timetable):
        inputs = {"m": {"jobInputType": "custom_model", "uri": "azureml:${{event.name}}:${{event.version}}"}, "n": {"jobInputType": "literal", "value": "${{event.type}} ${{event.id}}"}}
        await timetable.schedule(on("modelRegistered", name="net-*"), {**COMMAND, "command": "echo ${{inputs.m}} ${{inputs.n}}", "inputs": inputs})
        timetable.put("models/other/versions/1", MODEL)
        row = timetable.put("models/net-1/versions/7", MODEL)
        timetable.put("models/net-1/versions/7", {**MODEL, "description": "changed"})
        await timetable.work()
        assert events(timetable) == [{"type": "ModelRegistered", "id": row.id, "name": "net-1", "version": "7"}]
        (name,) = timetable.jobs()
        job = timetable.facts(f"jobs/{name}")
        assert name.startswith("s-20270115T081000Z-")
        assert (job["inputs"]["m"]["uri"], job["inputs"]["n"]["value"]) == ("azureml:net-1:7", f"ModelRegistered {row.id}")
        await timetable.work()
        assert len(timetable.jobs()) == 1

    async def test_data_and_the_ends_of_runs(self, timetable):
        for kind in ("DataVersionAdded", "RunCompleted", "RunFailed", "RunCanceled"):
            await timetable.schedule(on(kind), name=f"on-{kind}")
        await timetable.schedule(on("RunCompleted", experimentName="train"), name="train-only")
        timetable.put("data/d/versions/1", DATA)
        for name, status in (("good", "Completed"), ("bad", "Failed"), ("gone", "Canceled")):
            timetable.put(f"jobs/{name}", {**COMMAND, "experimentName": "other"})
            end(timetable, name, status)
            end(timetable, name, status)  # it is over: nothing more is told
        await timetable.work()
        assert sorted((e["type"], e["name"]) for e in events(timetable)) == [("DataVersionAdded", "d"), ("RunCanceled", "gone"), ("RunCompleted", "good"), ("RunFailed", "bad")]

    async def test_what_a_job_registers_and_what_its_steps_do(self, timetable):
        """A registered output tells; the end of a step does not."""
        await timetable.schedule(on("DataVersionAdded"), name="on-data")
        await timetable.schedule(on("RunCompleted"), name="on-run")
        row = timetable.put("jobs/made", {**COMMAND, "outputs": {"o": {"jobOutputType": "uri_folder", "assetName": "made", "assetVersion": "3"}}})
        timetable.db.write_now(register_outputs, row, timetable.db.read_now(resources.get, HOME), ME, timetable.clock())
        child = timetable.put("jobs/step", COMMAND)
        timetable.db.write_now(lambda tx: _below(tx, child.key, row.key))
        end(timetable, "step")
        await timetable.work()
        assert [(e["type"], e["name"], e["version"]) for e in events(timetable)] == [("DataVersionAdded", "made", "3")]

    async def test_disabled_changed_and_deleted_ones_do_not(self, timetable):
        await timetable.schedule(on("ModelRegistered"), name="off", isEnabled=False)
        await timetable.schedule(on("ModelRegistered"), name="changed")
        await timetable.schedule(on("ModelRegistered"), name="deleted")
        timetable.put("models/m/versions/1", MODEL)  # told, but not yet answered
        timetable.put("schedules/changed", {"trigger": HOURLY, "action": {"actionType": "CreateJob", "jobDefinition": COMMAND}})
        timetable.delete("schedules/deleted")
        await timetable.work()
        assert timetable.jobs() == []


def _below(tx: Any, key: str, parent: str) -> None:
    tx.execute(sa.update(tables.resource).where(tables.resource.c.key == key).values(parent=parent))


class TestLoops:
    async def test_a_schedule_does_not_answer_its_own_job(self, timetable):
        await timetable.schedule(on("RunCompleted"))
        timetable.put("jobs/first", COMMAND)
        end(timetable, "first")
        await timetable.work()
        (_, answer) = timetable.jobs()
        end(timetable, answer)
        await timetable.work()
        assert len(timetable.jobs()) == 2
        assert "EventLoop" in timetable.note()

    async def test_nor_what_its_job_has_registered_by_way_of_another(self, timetable):
        await timetable.schedule(on("ModelRegistered"), name="train")
        await timetable.schedule(on("RunCompleted", name="train-*"), name="test")
        timetable.put("models/m/versions/1", MODEL)
        await timetable.work()
        (trained,) = timetable.jobs()
        end(timetable, trained)
        await timetable.work()
        (tested,) = (name for name in timetable.jobs() if name.startswith("test-"))
        timetable.put("models/m/versions/2", MODEL, replace_run(ME, tested))  # with the token of that job
        await timetable.work()
        assert len(timetable.jobs()) == 2
        assert "EventLoop" in timetable.note("train")
        timetable.put("models/m/versions/3", MODEL)
        await timetable.work()
        assert len(timetable.jobs()) == 3
        assert timetable.note("train") == ""


def replace_run(caller: Any, run: str) -> Any:
    return msgspec.structs.replace(caller, run=run)


class TestRefused:
    async def test_a_fault_of_ours_that_does_not_pass_is_told(self, timetable, monkeypatch):
        async def away(*_):
            raise OSError("the directory is away")

        await timetable.schedule(on("ModelRegistered"))
        monkeypatch.setattr(schedules, "refusal", away)
        monkeypatch.setattr(durable, "PAUSE_S", 0.0)
        timetable.put("models/m/versions/1", MODEL)
        for _ in range(9):
            await timetable.work()
        assert timetable.jobs() == [] and "the directory is away" in timetable.note()

    async def test_who_may_no_more_submits_nothing_and_that_is_said(self, timetable):
        await timetable.schedule(on("ModelRegistered"), caller=OTHER)
        timetable.forbidden.add(OTHER.id)
        timetable.put("models/m/versions/1", MODEL)
        await timetable.work()
        assert timetable.jobs() == [] and "AuthorizationFailed" in timetable.note()

    async def test_a_job_that_can_not_be_is_told_when_it_is_tried(self, timetable):
        inputs = {"m": {"jobInputType": "custom_model", "uri": "azureml:${{event.name}}:99"}}
        await timetable.schedule(on("ModelRegistered"), {**COMMAND, "inputs": inputs})
        timetable.put("models/m/versions/1", MODEL)
        await timetable.work()
        assert timetable.jobs() == [] and "'m'" in timetable.note()

    async def test_what_names_no_event_is_tried_when_it_is_written(self, timetable):
        with pytest.raises(ArmError) as told:
            await timetable.schedule(on("ModelRegistered"), {**COMMAND, "environmentId": f"{HOME}/environments/none/versions/1"})
        assert told.value.target == "properties.action.jobDefinition.environmentId"

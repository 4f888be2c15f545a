"""Schedules on a clock that jumps, with workers that die."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap

import pytest

from lazward.apps.arm import engine
from lazward.contract.errors import ArmError
from lazward.contract.ids import ML, parse
from lazward.orchestration import durable, schedules
from lazward.orchestration.durable import Outcome
from lazward.storage import resources, runs, tasks
from tests.orchestration.timetable import COMMAND, HOME, HOURLY, ME, OTHER, PLAIN, REGISTRY, Timetable, at


@pytest.fixture
def timetable(db, clock, tmp_path, monkeypatch) -> Timetable:
    async def stand_still(work):
        return Outcome("InProgress", delay=1e9)

    kinds = ("schedule.run", "schedule.apply", "schedule.delete")
    monkeypatch.setattr(durable, "HANDLERS", {**{kind: durable.HANDLERS[kind] for kind in kinds}, "job.run": stand_still, "gateway.sync": stand_still})
    return Timetable(db, clock, tmp_path)


class TestDue:
    async def test_one_job_for_each_hour(self, timetable):
        await timetable.schedule()
        assert timetable.jobs() == [] and timetable.facts("schedules/s")["provisioningState"] == "Succeeded"
        for hour in ("09:00:00", "09:59:59", "10:00:00", "11:00:01"):
            await timetable.jump(f"2027-01-15T{hour}")
        assert timetable.jobs() == ["s-20270115T090000Z", "s-20270115T100000Z", "s-20270115T110000Z"]
        assert timetable.due() == "2027-01-15T12:00"

    async def test_the_job_says_what_it_comes_from_and_whose_it_is(self, timetable):
        await timetable.schedule(definition={**COMMAND, "tags": {"a": "b"}, "properties": {"x": "y"}, "experimentName": "exp", "displayName": "mine"})
        await timetable.jump("2027-01-15T09:00:00")
        job = timetable.get("jobs/s-20270115T090000Z")
        facts = job.properties
        assert facts["displayName"] == job.name and facts["tags"] == {"a": "b"} and facts["experimentName"] == "exp"
        said = {"x": "y", "azureml.scheduleId": f"{HOME}/schedules/s", "azureml.scheduleName": "s", "azureml.scheduledTime": "2027-01-15T09:00:00Z"}
        assert said.items() <= facts["properties"].items()
        assert job.doc["lazward"]["submittedBy"] == ME.id and job.doc["systemData"]["createdBy"] == "me"
        assert timetable.db.read_now(runs.get, HOME.lower(), job.name) is not None
        assert timetable.db.read_now(tasks.open_for, job.key, "job.run") is not None

    async def test_values_of_the_run_in_inputs(self, timetable):
        inputs = {"n": {"jobInputType": "literal", "value": "${{name}}"}, "t": {"jobInputType": "literal", "value": "at ${{creation_context.trigger_time}}"}}
        await timetable.schedule(definition={**COMMAND, "command": "echo ${{inputs.n}} ${{inputs.t}}", "inputs": inputs})
        await timetable.jump("2027-01-15T09:00:00")
        assert timetable.facts("jobs/s-20270115T090000Z")["parameters"] == {"n": "s-20270115T090000Z", "t": "at 2027-01-15T09:00:00Z"}

    async def test_a_recurrence_without_a_start_runs_at_once_and_not_again_when_enabled_anew(self, timetable):
        trigger = {"triggerType": "Recurrence", "frequency": "Hour", "interval": 2, "schedule": {"hours": [], "minutes": []}}
        await timetable.schedule(trigger)
        assert timetable.jobs() == ["s-20270115T081000Z"]
        await timetable.schedule(trigger, isEnabled=False)
        await timetable.schedule(trigger, isEnabled=True)
        assert (timetable.jobs(), timetable.due()) == (["s-20270115T081000Z"], "2027-01-15T10:10")

    async def test_after_the_end_nothing_is_left(self, timetable):
        await timetable.schedule({**HOURLY, "timeZone": "UTC", "endTime": "2027-01-15T09:30:00"})
        await timetable.jump("2027-01-15T09:00:00")
        assert (len(timetable.jobs()), timetable.due()) == (1, None)
        await timetable.schedule({**HOURLY, "timeZone": "UTC", "endTime": "2027-01-15T09:30:00"}, description="still ended")
        assert timetable.due() is None

    async def test_many_at_one_time(self, timetable):
        for n in range(5):
            await timetable.schedule(name=f"s{n}")
        await timetable.jump("2027-01-15T09:00:00")
        assert sorted(timetable.jobs()) == [f"s{n}-20270115T090000Z" for n in range(5)]


class TestMissed:
    async def test_the_last_is_made_up_for_once_and_says_so(self, timetable):
        await timetable.schedule()
        await timetable.jump("2027-01-15T13:20:00")
        assert timetable.jobs() == ["s-20270115T130000Z"]
        assert timetable.facts("jobs/s-20270115T130000Z")["tags"] == {"lazward.missedSince": "2027-01-15T09:00:00.000000Z", "lazward.lateSeconds": "1200"}
        await timetable.jump("2027-01-15T13:59:00")
        assert (len(timetable.jobs()), timetable.due()) == (1, "2027-01-15T14:00")

    async def test_what_is_too_long_ago_is_not_and_that_is_said(self, timetable):
        await timetable.schedule({"triggerType": "Cron", "expression": "0 9 * * 5"})  # Fridays; the clock shows one
        await timetable.jump("2027-01-16T09:00:01")
        assert timetable.jobs() == []
        assert "RunMissed" in timetable.note() and "2027-01-15T09:00:00" in timetable.note()
        assert timetable.due() == "2027-01-22T09:00"
        await timetable.jump("2027-01-23T08:59:59")
        assert (timetable.jobs(), timetable.note()) == (["s-20270122T090000Z"], "")

    async def test_a_clock_that_goes_back_runs_nothing_twice(self, timetable):
        await timetable.schedule()
        await timetable.jump("2027-01-15T09:00:00")
        await timetable.jump("2027-01-15T08:30:00")
        await timetable.jump("2027-01-15T09:00:30")
        assert timetable.jobs() == ["s-20270115T090000Z"]


class TestKills:
    async def test_a_worker_that_claimed_it_and_died(self, timetable):
        await timetable.schedule()
        timetable.clock.at = at("2027-01-15T09:00:00")
        assert await timetable.worker()._claim()
        await timetable.work()
        assert (timetable.jobs(), timetable.due()) == (["s-20270115T090000Z"], "2027-01-15T10:00")

    async def test_one_that_was_presumed_dead_and_comes_late_writes_nothing(self, timetable):
        await timetable.schedule()
        timetable.clock.at = at("2027-01-15T09:00:00")
        late = timetable.worker()
        (task,) = await late._claim()
        await timetable.jump("2027-01-15T10:00:00")
        await late._step(task)
        assert (timetable.jobs(), timetable.due()) == (["s-20270115T100000Z"], "2027-01-15T11:00")

    @pytest.mark.parametrize("point", ["submit", "enqueue"])
    async def test_kill_in_the_middle_of_the_transaction(self, timetable, point):
        """A real process, killed by itself: before the job's task is there, and before the schedule's next one is."""
        if not timetable.db.is_sqlite:
            pytest.skip("the same code; the rollback is the database's")
        await timetable.schedule()
        code = f"""
            import asyncio, os, signal, sys
            from types import SimpleNamespace
            from lazward.domain.settings import Settings
            from lazward.orchestration import durable, schedules
            from lazward.orchestration.durable import Worker
            from lazward.storage import tasks
            from lazward.storage.db import Database
            import lazward.domain.resources

            async def allowed(*args): return True

            real, when = tasks.enqueue, {{"submit": "job.run", "enqueue": "schedule.run"}}["{point}"]

            def dying(tx, kind, *args, **kwargs):
                if kind == when:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(tx, kind, *args, **kwargs)

            tasks.enqueue = dying
            db = Database(sys.argv[1])
            worker = Worker(db, SimpleNamespace(db=db, settings=Settings(data_dir="/nowhere", location="local"), tokens=SimpleNamespace(allowed=allowed)), lambda: {at("2027-01-15T09:00:00")}, "worker")
            asyncio.run(worker.run(asyncio.Event()))
        """
        ended = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", textwrap.dedent(code), timetable.db.url], env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}, timeout=60)
        assert ended.returncode == -signal.SIGKILL
        assert timetable.jobs() == []
        await timetable.jump("2027-01-15T09:00:02")
        assert (timetable.jobs(), timetable.due()) == (["s-20270115T090000Z"], "2027-01-15T10:00")

    async def test_a_fault_of_ours_costs_one_run_not_the_schedule(self, timetable, monkeypatch):
        await timetable.schedule()

        async def broken(*args):
            raise RuntimeError("boom")

        monkeypatch.setattr(timetable, "allowed", broken)
        await timetable.jump("2027-01-15T09:00:00")
        assert timetable.jobs() == [] and "boom" in timetable.note() and timetable.due() == "2027-01-15T10:00"
        monkeypatch.undo()


class TestChanges:
    async def test_disabled_runs_nothing_and_what_passed_meanwhile_is_not_made_up_for(self, timetable):
        await timetable.schedule()
        await timetable.schedule(isEnabled=False)
        await timetable.jump("2027-01-15T10:30:00")
        assert (timetable.jobs(), timetable.due()) == ([], None)
        await timetable.schedule(isEnabled=True)
        assert (timetable.jobs(), timetable.due()) == ([], "2027-01-15T11:00")

    async def test_is_enabled_holds_when_it_is_not_said(self, timetable):
        assert (await timetable.schedule()).properties["isEnabled"] is True
        await timetable.schedule(isEnabled=False)
        assert (await timetable.schedule()).properties["isEnabled"] is False

    async def test_another_trigger(self, timetable):
        await timetable.schedule()
        await timetable.schedule({"triggerType": "Cron", "expression": "30 8 * * *"})
        assert timetable.due() == "2027-01-15T08:30"
        await timetable.jump("2027-01-15T09:00:00")
        assert timetable.jobs() == ["s-20270115T083000Z"]

    async def test_a_change_of_something_else_does_not_lose_what_is_due(self, timetable):
        await timetable.schedule()
        timetable.clock.at = at("2027-01-15T09:00:05")  # due, and no worker yet
        await timetable.schedule(description="new", definition={**COMMAND, "command": "echo new"})
        assert timetable.jobs() == ["s-20270115T090000Z"]
        assert timetable.facts("jobs/s-20270115T090000Z")["command"] == "echo new"

    async def test_a_change_while_a_worker_has_it_in_hand(self, timetable):
        await timetable.schedule()
        timetable.clock.at = at("2027-01-15T09:00:00")
        worker = timetable.worker()
        (task,) = await worker._claim()
        timetable.put("schedules/s", {"trigger": {"triggerType": "Cron", "expression": "30 9 * * *"}, "action": {"actionType": "CreateJob", "jobDefinition": COMMAND}})
        await worker._step(task)
        assert (timetable.jobs(), timetable.due()) == ([], "2027-01-15T09:30")

    async def test_deleted_runs_nothing_and_keeps_its_jobs(self, timetable):
        await timetable.schedule()
        await timetable.jump("2027-01-15T09:00:00")
        timetable.delete("schedules/s")
        assert timetable.due() is None
        await timetable.jump("2027-01-15T12:00:00")
        assert (timetable.jobs(), timetable.get("schedules/s")) == (["s-20270115T090000Z"], None)

    async def test_made_again_within_the_hour(self, timetable):
        await timetable.schedule()
        await timetable.jump("2027-01-15T09:00:00")
        timetable.delete("schedules/s")
        await timetable.work()
        await timetable.schedule()
        await timetable.jump("2027-01-15T10:00:00")
        assert timetable.jobs() == ["s-20270115T090000Z", "s-20270115T100000Z"]


class TestRefused:
    @pytest.mark.parametrize(("definition", "status", "target"), [
        ({**COMMAND, "environmentId": f"{HOME}/environments/none/versions/1"}, 400, "environmentId"), ({**COMMAND, "computeId": "nothing"}, 400, "computeId"),
        ({**COMMAND, "command": ""}, 400, "command"), ({**COMMAND, "tags": 5}, 400, "tags"), ({"jobType": "Spark"}, 501, ""), ({"jobType": "Pipeline", "sourceJobId": "none"}, 400, "sourceJobId"),
        ({"jobType": "Pipeline", "sourceJobId": "/subscriptions/x/jobs/s"}, 400, "sourceJobId"),
    ])
    async def test_a_job_that_cannot_run_is_refused_when_the_schedule_is_written(self, timetable, definition, status, target):
        with pytest.raises(ArmError) as raised:
            await timetable.schedule(definition=definition)
        assert raised.value.status == status
        assert raised.value.target == f"properties.action.jobDefinition.{target}".rstrip(".")
        assert timetable.get("schedules/s") is None and timetable.jobs() == []

    async def test_the_trial_leaves_nothing(self, timetable):
        await timetable.schedule()
        assert timetable.jobs() == []
        assert timetable.db.read_now(tasks.open_of_kind, "job.run") == []
        assert timetable.runs() == 0

    async def test_one_that_cannot_run_can_be_disabled_but_not_enabled(self, timetable):
        await timetable.schedule()
        timetable.db.write_now(resources.delete, PLAIN)
        await timetable.schedule(isEnabled=False)
        with pytest.raises(ArmError) as raised:
            await timetable.schedule(isEnabled=True)
        assert raised.value.target == "properties.action.jobDefinition.environmentId"

    async def test_what_went_later_is_noted_and_the_next_time_is_tried_again(self, timetable):
        await timetable.schedule()
        timetable.db.write_now(resources.delete, PLAIN)
        await timetable.jump("2027-01-15T09:00:00")
        assert timetable.jobs() == [] and timetable.note().startswith("run of 2027-01-15T09:00:00") and "plain" in timetable.note()
        assert timetable.runs() == 0
        timetable.environment()
        await timetable.jump("2027-01-15T10:00:00")
        assert (timetable.jobs(), timetable.note()) == (["s-20270115T100000Z"], "")

    async def test_who_lost_the_right_runs_nothing_and_it_is_said_why(self, timetable):
        await timetable.schedule()
        timetable.forbidden.add(ME.id)
        await timetable.jump("2027-01-15T09:00:00")
        assert timetable.jobs() == [] and "'me'" in timetable.note() and "jobs/write" in timetable.note()
        timetable.forbidden.clear()
        await timetable.jump("2027-01-15T10:00:00")
        assert (timetable.jobs(), timetable.note()) == (["s-20270115T100000Z"], "")

    async def test_who_may_not_read_a_registry_that_the_job_names(self, timetable):
        facts = engine.Facts(ME, timetable.clock(), "https://h", "https://g", "local")
        for path, properties in ((REGISTRY, {}), (f"{REGISTRY}/environments/e/versions/1", {"image": "library/python:3.11"})):
            timetable.db.write_now(engine.store, engine.resolve(parse(path)), {"properties": properties}, facts)
        timetable.put("jobs/first", {**COMMAND, "environmentId": "azureml://registries/reg1/environments/e/versions/1"})
        await timetable.schedule(definition={"jobType": "Pipeline", "sourceJobId": "first"}, caller=OTHER)
        timetable.forbidden.add(f"{ML}/registries/assets/read")
        await timetable.jump("2027-01-15T09:00:00")
        assert timetable.jobs() == ["first"] and "registries/assets/read" in timetable.note()
        timetable.forbidden.clear()
        await timetable.jump("2027-01-15T10:00:00")
        assert timetable.jobs() == ["first", "s-20270115T100000Z"]

    async def test_a_name_that_somebody_else_took(self, timetable):
        await timetable.schedule()
        timetable.put("jobs/s-20270115T090000Z", {**COMMAND, "command": "echo theirs"})
        await timetable.jump("2027-01-15T09:00:00")
        assert "JobAlreadyExists" in timetable.note() and timetable.facts("jobs/s-20270115T090000Z")["command"] == "echo theirs"

    async def test_a_trigger_with_no_time_left(self, timetable):
        with pytest.raises(ArmError) as raised:
            await timetable.schedule({**HOURLY, "endTime": "2022-07-11T00:00:00"})
        assert raised.value.target == "properties.trigger"


class TestWhoseItIs:
    async def test_who_writes_the_action_lends_the_name(self, timetable):
        await timetable.schedule()
        await timetable.schedule(caller=OTHER, description="only this")
        await timetable.jump("2027-01-15T09:00:00")
        await timetable.schedule(caller=OTHER, definition={**COMMAND, "command": "echo other"})
        await timetable.jump("2027-01-15T10:00:00")
        assert [timetable.get(f"jobs/{name}").doc["lazward"]["submittedBy"] for name in timetable.jobs()] == [ME.id, OTHER.id]

    async def test_what_is_empty_is_no_change_of_the_action(self, timetable):
        await timetable.schedule()
        await timetable.schedule(caller=OTHER, definition={**COMMAND, "description": None, "inputs": {}, "computeId": ""})
        assert schedules.run_as(timetable.get("schedules/s")).id == ME.id


class TestAnotherJobAsSource:
    async def test_is_copied_with_what_is_said_otherwise(self, timetable):
        inputs = {"n": {"jobInputType": "literal", "value": "1"}, "m": {"jobInputType": "literal", "value": "2"}}
        outputs = {"o": {"jobOutputType": "uri_folder"}, "p": {"jobOutputType": "uri_folder", "uri": "azureml://datastores/workspaceblobstore/paths/fixed/"}}
        timetable.put("jobs/first", {**COMMAND, "command": "echo ${{inputs.n}} ${{inputs.m}} ${{outputs.o}} ${{outputs.p}}", "inputs": inputs, "outputs": outputs, "tags": {"a": "1"}})
        source = {"jobType": "Pipeline", "sourceJobId": f"{HOME}/jobs/first", "experimentName": "", "isArchived": False, "inputs": {"m": {"jobInputType": "literal", "value": "3"}}, "tags": {"b": "2"}}
        row = await timetable.schedule(definition=source)
        assert row.properties["action"]["jobDefinition"] == source
        await timetable.jump("2027-01-15T09:00:00")
        facts = timetable.facts("jobs/s-20270115T090000Z")
        assert (facts["jobType"], facts["command"], facts["status"]) == ("Command", "echo ${{inputs.n}} ${{inputs.m}} ${{outputs.o}} ${{outputs.p}}", "Queued")
        assert facts["parameters"] == {"n": "1", "m": "3"} and facts["tags"] == {"a": "1", "b": "2"}
        assert facts["outputs"]["o"]["uri"].endswith("/azureml/s-20270115T090000Z/o/") and facts["outputs"]["p"]["uri"].endswith("/paths/fixed/")
        assert facts["outputs"]["default"]["uri"].endswith("dcid.s-20270115T090000Z") and facts["experimentName"] == "Default"

    async def test_another_job_made_later_under_its_name_is_not_run(self, timetable):
        first = timetable.put("jobs/first", COMMAND)
        await timetable.schedule(definition={"jobType": "Pipeline", "sourceJobId": "azureml:first"})
        timetable.db.write_now(resources.delete, first.key)
        timetable.db.write_now(runs.delete_job_run, HOME.lower(), "first", timetable.clock())
        timetable.put("jobs/first", {**COMMAND, "command": "echo evil"}, OTHER)
        await timetable.schedule(definition={"jobType": "Pipeline", "sourceJobId": "azureml:first"}, isEnabled=False)
        await timetable.schedule(definition={"jobType": "Pipeline", "sourceJobId": "azureml:first"}, isEnabled=True)
        await timetable.jump("2027-01-15T09:00:00")
        assert timetable.facts("jobs/s-20270115T090000Z")["command"] == "echo hi"

"""Schedules of the examples. Numbers are those of the acceptance table."""

from __future__ import annotations

import datetime
import json
import os
import sqlite3
import time
from pathlib import Path

import pytest
from azure.ai.ml.entities import JobSchedule, RecurrenceTrigger
from azure.ai.ml.entities._load_functions import load_schedule
from azure.core.exceptions import ResourceNotFoundError

from tests.acceptance.runs import finish, submit

HOUR = 3600.0
PATIENCE_S = 60


def history(client, name: str):
    """What the schedule submitted, the newest first."""
    return list(client.jobs.list(schedule_defined=True, scheduled_job_name=name))


def jump(server, name: str, seconds: float = HOUR) -> None:
    """Makes the schedule believe that its last time is longer ago: to it, that is a clock that jumped forward."""
    with sqlite3.connect(Path(server["DATA_DIR"]) / "lazward.db", timeout=30) as db:
        found = db.execute("select id, state from task where kind = 'schedule.run' and status = 'InProgress' and subject like ?", (f"%/schedules/{name}",)).fetchall()
        for task, state in found:
            moved = {**json.loads(state), "after": json.loads(state)["after"] - seconds}
            db.execute("update task set due = 0, state = ? where id = ?", (json.dumps(moved), task))
    db.close()


def until(condition, what: str):
    deadline = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < deadline, what
        time.sleep(0.2)
    return found


def test_l3_059_cron_with_a_windows_zone(client, server, examples):
    schedule = load_schedule(examples / "cli/schedules/cron-job-schedule.yml")
    made = client.schedules.begin_create_or_update(schedule).result()
    name = "simple_cron_job_schedule"
    assert (made.name, made.is_enabled, made.provisioning_state) == (name, True, "Succeeded")
    shown = client.schedules.get(name)
    assert (shown.trigger.expression, shown.trigger.time_zone, shown.trigger.start_time) == ("0 * * * *", "Pacific Standard Time", "2022-07-10 10:00:00")
    assert name in [s.name for s in client.schedules.list()]
    assert history(client, name) == []

    hour = datetime.datetime.now(datetime.UTC).replace(minute=0, second=0, microsecond=0)
    jump(server, name)
    (job,) = until(lambda: history(client, name), "the due hour has no job")
    if job.name != f"{name}-{hour:%Y%m%dT%H%M%SZ}":  # the hour went by meanwhile
        hour += datetime.timedelta(hours=1)
    assert job.name == job.display_name == f"{name}-{hour:%Y%m%dT%H%M%SZ}"
    assert job.properties["azureml.scheduleName"] == name
    finish(client, job)
    jump(server, name)
    until(lambda: settled(server, name), "the schedule has no next time")
    assert [j.name for j in history(client, name)] in ([job.name], [f"{name}-{hour + datetime.timedelta(hours=1):%Y%m%dT%H%M%SZ}", job.name])

    shown.description = "new description"
    assert client.schedules.begin_create_or_update(shown).result().description == "new description"
    assert client.schedules.begin_disable(name).result().is_enabled is False
    before = len(history(client, name))
    jump(server, name)
    assert not settled(server, name)  # no time is set
    assert name not in [s.name for s in client.schedules.list()]
    assert name in [s.name for s in client.schedules.list(list_view_type="All")]
    assert client.schedules.begin_enable(name).result().is_enabled is True
    assert len(history(client, name)) == before
    client.schedules.begin_delete(name).result()
    with pytest.raises(ResourceNotFoundError):
        client.schedules.get(name)
    assert client.jobs.get(job.name).status == "Completed"


def settled(server, name: str) -> bool:
    """Whether a next time is set."""
    with sqlite3.connect(Path(server["DATA_DIR"]) / "lazward.db", timeout=30) as db:
        query = "select count(*) from task where kind = 'schedule.run' and status = 'InProgress' and due > ? and subject like ?"
        found = db.execute(query, (time.time(), f"%/schedules/{name}")).fetchone()[0]
    db.close()
    return bool(found)


def test_cron_with_settings(client, examples):
    """Changes to a job file inside the schedule, and ${{name}} in an input."""
    schedule = load_schedule(examples / "cli/schedules/cron-with-settings-job-schedule.yml")
    client.schedules.begin_create_or_update(schedule).result()
    result = client.schedules.trigger("cron_with_settings_job_schedule")
    job = finish(client, client.jobs.get(result.job_name))
    assert job.tags["schedule"] == "cron_with_settings_schedule"
    assert job.inputs["hello_string_top_level_input"]._data == job.name
    client.schedules.begin_delete("cron_with_settings_job_schedule").result()


def test_a_job_as_source_on_time(client, examples):
    """A schedule of a job that was run before: every minute, from two seconds ahead."""
    first = finish(client, submit(client, examples / "cli/jobs/basics/hello-world.yml"))
    start = datetime.datetime.now(datetime.UTC).replace(tzinfo=None) + datetime.timedelta(seconds=2)
    trigger = RecurrenceTrigger(frequency="minute", interval=1, start_time=start)
    client.schedules.begin_create_or_update(JobSchedule(name="again", trigger=trigger, create_job=first.id)).result()
    (job,) = until(lambda: history(client, "again"), "the first minute has no job")
    client.schedules.begin_disable("again").result()
    assert job.name == f"again-{start:%Y%m%dT%H%M%SZ}" and job.command == first.command
    finish(client, job)
    client.schedules.begin_delete("again").result()


def test_l3_062_notebook(client, server, examples, monkeypatch, capsys):
    folder = examples / "sdk/python/schedules"
    cells = [cell for cell in json.loads((folder / "job-schedule.ipynb").read_text())["cells"] if cell["cell_type"] == "code"]
    (folder / "config.json").write_text(json.dumps({
        "subscription_id": server["LAZWARD_SUBSCRIPTION_ID"], "resource_group": server["LAZWARD_RESOURCE_GROUP"], "workspace_name": server["LAZWARD_WORKSPACE"],
    }))
    monkeypatch.chdir(folder)
    space: dict = {"__name__": "__main__"}
    for cell in cells:
        exec(compile("".join(cell["source"]), "job-schedule.ipynb", "exec"), space)
    assert space["created_schedule"].is_enabled is False and space["schedule_name"] == "simple_sdk_create_schedule_cron"
    assert space["job_schedule"].trigger.expression == "10 10 * * 1"
    with pytest.raises(ResourceNotFoundError):
        client.schedules.get(space["schedule_name"])
    assert os.getcwd() == str(folder)

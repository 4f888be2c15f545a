"""Priorities, waiting and retries as the unmodified SDK asks for and shows them. No example is needed."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable

from azure.ai.ml import command
from azure.ai.ml.entities import Environment

from tests.acceptance.runs import finish, log_of

PLAIN = Environment(image="library/python:3.11")


class Screen(io.StringIO):
    """What jobs.stream shows. sees: a text, and what is done once it is there."""

    def __init__(self, sees: str, then: Callable[[], object]):
        super().__init__()
        self.sees, self.then = sees, then

    def write(self, text: str) -> int:
        count = super().write(text)
        if self.sees in self.getvalue():
            self.then()
        return count


def stream(client, job, monkeypatch, sees: str = "\0", then: Callable[[], object] = lambda: None) -> str:
    with monkeypatch.context() as patch:
        screen = Screen(sees, then)
        patch.setattr(sys, "stdout", screen)
        client.jobs.stream(job.name)
    return screen.getvalue()


def test_queue_settings_come_back_as_they_were_sent(client):
    job = command(command="echo hi", environment=PLAIN, experiment_name="queue")
    job.set_queue_settings(job_tier="Premium", priority="High")
    made = client.jobs.create_or_update(job)
    assert (made.queue_settings.job_tier, made.queue_settings.priority) == ("premium", "high")
    finish(client, made)
    again = client.jobs.get(made.name)
    assert (again.queue_settings.job_tier, again.queue_settings.priority) == ("premium", "high")


def test_who_streams_a_waiting_job_reads_why_it_waits(client, monkeypatch, tmp_path):
    gate = tmp_path / "go"
    blocker = command(command=f"while [ ! -e {gate} ]; do sleep 0.05; done", environment=PLAIN, experiment_name="queue")
    blocker.set_resources(properties={"cores": 1000})
    blocker = client.jobs.create_or_update(blocker)
    waiting = client.jobs.create_or_update(command(command="echo my turn", environment=PLAIN, experiment_name="queue"))
    shown = stream(client, waiting, monkeypatch, "place 1 in the queue", gate.touch)
    assert shown.index("Streaming azureml-logs/10_waiting.txt") < shown.index("Waiting for 1 of ") < shown.index("my turn")
    finish(client, blocker)


def test_every_line_of_every_attempt_is_shown_once(client, monkeypatch, tmp_path):
    job = command(
        command=f"echo $LAZWARD_JOB_ATTEMPT >> {tmp_path}/ran; for i in 1 2 3; do echo attempt $LAZWARD_JOB_ATTEMPT line $i; done; sleep 2; [ $LAZWARD_JOB_ATTEMPT = 3 ]",
        environment=PLAIN, experiment_name="queue",
    )
    job.set_resources(properties={"max_retries": 2})
    made = client.jobs.create_or_update(job)
    shown = stream(client, made, monkeypatch)
    wanted = [f"attempt {n} line {i}" for n in (1, 2, 3) for i in (1, 2, 3)]
    assert [line for line in shown.splitlines() if " line " in line] == wanted
    assert "Warnings:" in shown and "Attempt 1 failed (its log is in user_logs/attempt_1): The command ended with exit code 1" in shown
    assert (tmp_path / "ran").read_text().split() == ["1", "2", "3"]
    log = log_of(client, made.name, tmp_path / "got")
    assert [line for line in log.splitlines() if " line " in line] == wanted
    assert (tmp_path / "got/artifacts/user_logs/attempt_2/std_log.txt").read_text().splitlines() == wanted[3:6]
    assert client.jobs.get(made.name).status == "Completed"

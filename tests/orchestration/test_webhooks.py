"""Deliveries: of each change once, to a real receiver, again when it is away, and never where they must not go (S9)."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from mlflow.webhooks.delivery import _generate_hmac_signature

import lazward.apps.arm.actions_assets  # noqa: F401 - tells of what is written
from lazward.apps.model_registry import StoredModels
from lazward.contract.caller import Caller
from lazward.domain.genai.prompts import IS_PROMPT
from lazward.domain.genai.webhooks import EXAMPLES
from lazward.domain.settings import Settings
from lazward.orchestration import webhooks as deliveries
from lazward.orchestration.durable import Worker
from lazward.storage import tables, tasks, webhooks
from lazward.storage.secrets import Vault
from tests.apps.test_model_registry import draft
from tests.receiver import Receiver
from tests.storage.tracking_data import KEY, OTHER, make_workspaces

ME = Caller(id="me", name="me")


class Site:
    def __init__(self, db, clock, folder):
        make_workspaces(db)
        self.db, self.clock, self.vault = db, clock, Vault(b"k" * 32)
        self.settings = Settings(data_dir=str(folder), outbound_allow_http=True, outbound_allow_private=True)
        self.models = StoredModels(db, self.settings)

    def hook(self, url: str, *events: str, secret: str = "", key: str = KEY) -> str:
        return self.db.write_now(webhooks.create, key, self.vault, "w", url, list(events or EXAMPLES), None, secret, "ACTIVE", self.clock()).id

    async def work(self) -> None:
        """All that is due, by a worker as after the start of its process. Tasks are due by the wall clock of who wrote them."""
        runtime = SimpleNamespace(db=self.db, settings=self.settings, vault=self.vault)
        worker = Worker(self.db, runtime, self.clock, "worker")
        while claimed := await worker._claim():
            for task in claimed:
                await worker._begin(task)
            await asyncio.gather(*(held.run for held in list(worker._running.values())))

    def tasks(self) -> list[Any]:
        return self.db.read_now(lambda tx: tx.execute(sa.select(tables.task).where(tables.task.c.kind == "webhook.deliver").order_by(tables.task.c.created)).all())


@pytest.fixture
def site(db, clock, tmp_path) -> Site:
    return Site(db, clock, tmp_path)


def told(receiver: Receiver) -> list[tuple[str, dict[str, Any]]]:
    found = [json.loads(body) for _, _, _, body in receiver.seen]
    return sorted(((f"{one['entity']}.{one['action']}", one["data"]) for one in found), key=lambda one: (one[0], json.dumps(one[1])))


async def test_what_happens_to_a_model_is_told(site, receiver):
    site.hook(f"http://localhost:{receiver.port}/hook", secret="s")
    await site.models.create_model(KEY, "m", "d", {"a": "1"}, ME)
    await site.models.create_version(KEY, draft("m"), ME)

    def change(model) -> None:
        model.properties["mlflow.alias.best"] = "1"

    await site.models.update_model(KEY, "m", change, ME)
    await site.models.update_version(KEY, "m", "1", lambda version: version.tags.update({"k": "v"}), ME)
    await site.work()
    assert [event for event, _ in told(receiver)] == ["model_version.created", "model_version_alias.created", "model_version_tag.set", "registered_model.created"]
    assert dict(told(receiver))["registered_model.created"] == {"name": "m", "tags": {"a": "1"}, "description": "d"}
    for _, path, headers, body in receiver.seen:
        signed = _generate_hmac_signature("s", headers["x-mlflow-delivery-id"], headers["x-mlflow-timestamp"], body.decode())
        assert (path, headers["x-mlflow-signature"], headers["content-type"]) == ("/hook", signed, "application/json")
    assert len({headers["x-mlflow-delivery-id"] for _, _, headers, _ in receiver.seen}) == 4
    assert {task.status for task in site.tasks()} == {"Succeeded"}


async def test_what_happens_to_a_prompt_is_told(site, receiver):
    site.hook(f"http://localhost:{receiver.port}/")
    await site.models.create_model(KEY, "p", "", {IS_PROMPT: "true", "t": "1"}, ME)
    await site.models.create_version(KEY, draft("p", uri="", tags={IS_PROMPT: "true", "mlflow.prompt.text": "Hi"}), ME)
    await site.work()
    assert told(receiver) == [
        ("prompt.created", {"name": "p", "tags": {"t": "1"}, "description": ""}),
        ("prompt_version.created", {"name": "p", "version": "1", "template": "Hi", "tags": {}, "description": "d"}),
    ]
    assert "x-mlflow-signature" not in receiver.seen[0][2]


async def test_only_those_who_asked_hear_of_it(site, receiver):
    site.hook(f"http://localhost:{receiver.port}/prompts", "prompt.created")
    site.hook(f"http://localhost:{receiver.port}/theirs", key=OTHER.key)
    gone = site.hook(f"http://localhost:{receiver.port}/gone")
    disabled = site.hook(f"http://localhost:{receiver.port}/disabled")
    await site.models.create_model(KEY, "m", "", {}, ME)
    site.db.write_now(webhooks.delete, KEY, site.vault, gone)  # both after the change, before the delivery
    site.db.write_now(webhooks.update, KEY, site.vault, disabled, {"status": "DISABLED"}, None, site.clock())
    await site.work()
    assert receiver.seen == [] and {task.status for task in site.tasks()} == {"Succeeded"}


async def test_what_is_undone_is_not_told(site, receiver, monkeypatch):
    site.hook(f"http://localhost:{receiver.port}/")
    tell = deliveries._tell

    def then_fail(*args) -> None:
        tell(*args)
        raise RuntimeError("after the deliveries were written")

    monkeypatch.setattr(deliveries, "_tell", then_fail)
    with pytest.raises(RuntimeError):
        await site.models.create_model(KEY, "m", "", {}, ME)
    assert site.tasks() == [] and await site.models.model(KEY, "m") is None


async def test_a_receiver_that_is_away_is_tried_again(site, receiver):
    site.hook(f"http://localhost:{receiver.port}/hook", secret="s")
    receiver.answers["/hook"] = (503, {}, b"")
    await site.models.create_model(KEY, "m", "", {}, ME)
    await site.work()
    (task,) = site.tasks()
    assert (task.status, task.state["tries"], len(receiver.seen)) == ("InProgress", 1, 1)
    site.clock.forward(2)
    await site.work()
    del receiver.answers["/hook"]
    site.clock.forward(4)
    await site.work()
    assert (site.tasks()[0].status, len(receiver.seen)) == ("Succeeded", 3)
    sent = [(headers["x-mlflow-delivery-id"], headers["x-mlflow-timestamp"], body) for _, _, headers, body in receiver.seen]
    assert len({(id_, body) for id_, _, body in sent}) == 1  # it is one delivery,
    assert len({at for _, at, _ in sent}) == 3  # each try signed for its own time


async def test_in_the_end_it_is_given_up(site, receiver):
    site.hook(f"http://localhost:{receiver.port}/hook")
    receiver.answers["/hook"] = (500, {}, b"")
    await site.models.create_model(KEY, "m", "", {}, ME)
    for _ in range(30):
        await site.work()
        site.clock.forward(3600)
    (task,) = site.tasks()
    assert (task.status, len(receiver.seen)) == ("Failed", deliveries.TRIES)
    assert "answered 500" in task.error["message"]


@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 404, 410])
async def test_an_answer_that_no_second_try_changes(site, receiver, status):
    site.hook(f"http://localhost:{receiver.port}/hook")
    receiver.answers["/hook"] = (status, {"location": f"http://localhost:{receiver.port}/elsewhere"}, b"")
    await site.models.create_model(KEY, "m", "", {}, ME)
    await site.work()
    assert (site.tasks()[0].status, [path for _, path, _, _ in receiver.seen]) == ("Failed", ["/hook"])


@pytest.mark.parametrize("allowed", [{}, {"outbound_allow_http": True}, {"outbound_allow_private": True}])
async def test_s9_a_webhook_leads_nowhere_private(site, receiver, allowed):
    """Whatever the settings were when it was made."""
    site.hook(f"http://localhost:{receiver.port}/hook")
    site.settings = msgspec.structs.replace(site.settings, **{"outbound_allow_http": False, "outbound_allow_private": False, **allowed})
    await site.models.create_model(KEY, "m", "", {}, ME)
    await site.work()
    (task,) = site.tasks()
    assert (task.status, receiver.seen) == ("Failed", [])
    assert "outbound_allow" in task.error["message"]


async def test_a_killed_worker_leaves_the_delivery_to_the_next(site, receiver):
    site.hook(f"http://localhost:{receiver.port}/hook")
    await site.models.create_model(KEY, "m", "", {}, ME)
    assert len(site.db.write_now(tasks.claim, "worker", 5, site.clock(), 30)) == 1  # and is killed
    site.db.write_now(tasks.release_worker, "worker")
    await site.work()
    assert len(receiver.seen) == 1

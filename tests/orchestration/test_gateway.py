"""The gateway follows the database: a change that comes while it is being told about an earlier one is told too, and it knows whose
tokens count at the endpoints of a workspace (S5)."""

from __future__ import annotations

import asyncio
import time

import pytest

from lazward.storage import resources, tasks
from tests.orchestration.place import HOME

ONE = f"{HOME}/onlineEndpoints/one".lower()


def told(place) -> list[str]:
    return [endpoint.auth for endpoint in place.gateway.states[-1].endpoints]


async def test_a_change_during_a_sync_is_followed_by_another_sync(place, monkeypatch):
    place.put("onlineEndpoints/one", {"authMode": "Key"}, location="local")
    await place.start()
    await place.until(lambda: place.facts("onlineEndpoints/one")["provisioningState"] == "Succeeded")
    begun, go = asyncio.Event(), asyncio.Event()
    update = place.gateway.update

    async def slow(state):
        """What it is told was read already; it takes its time to take it."""
        begun.set()
        await go.wait()
        return await update(state)

    monkeypatch.setattr(place.gateway, "update", slow)

    def change(tx) -> None:
        row = resources.get(tx, ONE)
        row.properties["authMode"] = "AMLToken"
        resources.update(tx, row, time.time())
        tasks.enqueue(tx, "gateway.sync", "gateway", {}, time.time())

    await place.db.write(tasks.enqueue, "gateway.sync", "gateway", {}, time.time())
    await asyncio.wait_for(begun.wait(), 20)
    await place.db.write(change)
    assert told(place) == ["key"]
    go.set()
    await place.until(lambda: place.db.read_now(tasks.open_for, "gateway", "gateway.sync") is None)
    assert told(place) == ["token"]


@pytest.mark.parametrize("mode", ["AADToken", "AMLToken", "Key"])
async def test_s5_a_runs_token_counts_from_its_submission_to_its_end(place, tmp_path, mode: str):
    place.put("onlineEndpoints/asked", {"authMode": mode}, location="local")
    await place.start()
    key = place.job("runner", f"touch {tmp_path}/begun; while [ ! -e {tmp_path}/go ]; do sleep 0.05; done")

    def seen() -> tuple[str, ...]:
        return next((e.runs for e in place.gateway.states[-1].endpoints if e.name == "asked"), ()) if place.gateway.states else ()

    await place.until((tmp_path / "begun").exists, lambda: place.facts("jobs/runner"))
    if mode == "Key":
        assert seen() == ()
    else:
        await place.until(lambda: seen() == ("runner",), seen)
        told = next(e for e in place.gateway.states[-1].endpoints if e.name == "asked")
        assert told.home == key.rsplit("/jobs/", 1)[0]
    (tmp_path / "go").touch()
    assert (await place.over("runner"))["status"] == "Completed"
    await place.until(lambda: seen() == (), seen)

"""The gateway follows the database: a change that comes while it is being told about an earlier one is told too."""

from __future__ import annotations

import asyncio
import time

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

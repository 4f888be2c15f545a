"""Traffic and the end of endpoints; keys and the gateway's state that follow from their documents."""

from __future__ import annotations

import asyncio

import pytest
import sqlalchemy as sa

from lazward.contract.errors import ArmError
from lazward.domain.serving import EndpointState
from lazward.orchestration.endpoints import end_endpoints, new_key
from lazward.orchestration.gateway import DEPLOYMENTS, ENDPOINTS, compose, sync_gateway
from lazward.storage import resources, tables
from tests.orchestration.place import HOME

ENDPOINT = "onlineEndpoints/one"


@pytest.fixture
async def serves(place):
    """An endpoint with two deployments in the database; no worker applies them."""
    code = await place.code("scores", {"good.py": "def init(): pass\ndef run(data): return 1\n"})
    place.put(ENDPOINT, {"authMode": "Key"}, location="local")
    for name in ("blue", "green"):
        place.put(f"{ENDPOINT}/deployments/{name}", {
            "environmentId": f"{HOME}/environments/plain/versions/1", "codeConfiguration": {"codeId": code, "scoringScript": "good.py"},
        }, location="local", sku={"name": "Default", "capacity": 1})
    settle(place)
    return place


def settle(place) -> None:
    """Every document as if a worker had applied it, and no task left."""

    def end(tx) -> None:
        for row in [*resources.every(tx, ENDPOINTS), *resources.every(tx, DEPLOYMENTS)]:
            row.properties["provisioningState"] = "Succeeded"
            resources.update(tx, row, 1.0)
        tx.execute(sa.update(tables.task).values(status="Succeeded", ended=1.0))

    place.db.write_now(end)


def shares(place, traffic: dict, **more) -> None:
    place.put(ENDPOINT, {"authMode": "Key", "traffic": traffic, **more}, location="local")
    settle(place)


def state_of(place) -> EndpointState:
    (found,) = place.db.read_now(compose, place.runtime).endpoints
    return found


class TestTraffic:
    async def test_to_what_is_not_there_is_refused_and_nothing_changes(self, serves):
        before = serves.get(ENDPOINT).etag
        with pytest.raises(ArmError) as caught:
            shares(serves, {"blue": 50, "purple": 50})
        assert (caught.value.status, caught.value.target) == (400, "properties.traffic.purple")
        with pytest.raises(ArmError) as caught:
            shares(serves, {"blue": 100}, mirrorTraffic={"purple": 10})
        assert caught.value.target == "properties.mirrorTraffic.purple"
        assert serves.get(ENDPOINT).etag == before

    async def test_a_deployment_with_traffic_stays_until_it_has_none(self, serves):
        shares(serves, {"blue": 90, "green": 10})
        with pytest.raises(ArmError) as caught:
            serves.delete(f"{ENDPOINT}/deployments/green")
        assert (caught.value.status, "10%" in caught.value.message) == (409, True)
        shares(serves, {"blue": 100, "green": 0})
        serves.delete(f"{ENDPOINT}/deployments/green")
        assert serves.facts(ENDPOINT)["traffic"] == {"blue": 100}


class TestGatewayState:
    async def test_it_says_who_may_score_and_where_it_goes(self, serves):
        shares(serves, {"blue": 90, "green": 10}, mirrorTraffic={"green": 20})
        state = state_of(serves)
        keys = serves.db.read_now(serves.vault.get_json, f"endpoint:{HOME}/{ENDPOINT}".lower())
        assert (state.name, state.auth, set(state.keys)) == ("one", "key", set(keys.values()))
        assert (state.traffic, state.mirror) == ({"blue": 90, "green": 10}, {"green": 20})
        assert set(state.deployments) == {"blue", "green"}
        assert all(d.sockets == () for d in state.deployments.values())  # nothing runs yet: no socket that nobody listens at

    async def test_what_goes_is_out_before_it_is_gone(self, serves):
        shares(serves, {"blue": 100})
        row = serves.get(f"{ENDPOINT}/deployments/blue")
        row.properties["provisioningState"] = "Deleting"
        serves.db.write_now(resources.update, row, 1.0)
        assert set(state_of(serves).deployments) == {"green"}
        assert state_of(serves).traffic == {}  # no share for what is not there
        row = serves.get(ENDPOINT)
        row.properties["provisioningState"] = "Deleting"
        serves.db.write_now(resources.update, row, 1.0)
        assert serves.db.read_now(compose, serves.runtime).endpoints == ()

    async def test_keys_are_of_endpoints_with_keys_only(self, serves):
        serves.put("onlineEndpoints/two", {"authMode": "AMLToken"}, location="local")
        found = {state.name: state for state in serves.db.read_now(compose, serves.runtime).endpoints}
        assert (found["two"].auth, found["two"].keys) == ("token", ())

    async def test_a_gateway_that_is_starting_again_is_told_again(self, serves, monkeypatch):
        answers = iter([OSError("not yet"), OSError("not yet"), None])
        told = []

        async def update(state):
            told.append(state)
            if error := next(answers):
                raise error

        async def at_once(seconds):
            pass

        monkeypatch.setattr(serves.gateway, "update", update)
        monkeypatch.setattr("lazward.orchestration.gateway.asyncio.sleep", at_once)
        await sync_gateway(serves.runtime)
        assert len(told) == 3

    async def test_one_that_refuses_for_good_is_an_error(self, serves, monkeypatch):
        async def update(state):
            raise OSError("disk full")

        async def at_once(seconds):
            pass

        monkeypatch.setattr(serves.gateway, "update", update)
        monkeypatch.setattr("lazward.orchestration.gateway.asyncio.sleep", at_once)
        with pytest.raises(OSError, match="disk full"):
            await sync_gateway(serves.runtime)


class TestEnd:
    async def test_of_a_workspace_takes_endpoints_deployments_and_keys(self, serves):
        key = f"{HOME}/{ENDPOINT}".lower()
        while not await end_endpoints(serves.runtime, HOME.lower()):
            await asyncio.sleep(0.01)
        assert serves.get(ENDPOINT) is None and serves.get(f"{ENDPOINT}/deployments/blue") is None
        assert serves.db.read_now(serves.vault.get_json, f"endpoint:{key}") is None
        assert serves.gateway.states[-1].endpoints == ()
        assert await end_endpoints(serves.runtime, HOME.lower())  # again is nothing


def test_keys_are_long_and_never_the_same():
    keys = {new_key() for _ in range(1000)}
    assert len(keys) == 1000 and min(map(len, keys)) >= 43

"""Requests while keys, workers, certificates and Envoy itself change or die."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import subprocess

import pytest
from joserfc.jwk import KeySet, RSAKey

from lazward.apps.serving.gateway import Gateway, GatewayError
from lazward.domain.serving import GatewayState, TokenTrust
from tests.apps.serving.conftest import free_port
from tests.apps.serving.endpoints import BEARER, ECHO, KEYS, WAITING, endpoint, state
from tests.execution.runtime.serve.processes import wait_for


@pytest.fixture(scope="module")
def blue(serve):
    return serve(ECHO, env={"WHO": "blue"})


class Load:
    """Clients that score all the time; `failures` holds what was not a 200."""

    def __init__(self, client, clients: int = 4) -> None:
        self.headers = dict(BEARER)
        self.count = 0
        self.failures: list[tuple[int, str]] = []
        self.seen: set[str] = set()
        self._client = client
        self._stop = False
        self._tasks = [asyncio.create_task(self._score()) for _ in range(clients)]

    async def _score(self) -> None:
        while not self._stop:
            answer = await self._client.post("/ws/ep/score", content="x", headers=self.headers)
            self.count += 1
            if answer.status_code == 200:
                self.seen.add(answer.json()["model"])
            else:
                self.failures.append((answer.status_code, answer.text))

    async def more(self, count: int = 50) -> None:
        """Until so many further requests were answered."""
        goal = self.count + count
        while self.count < goal:
            await asyncio.sleep(0.005)

    async def stop(self) -> None:
        self._stop = True
        await asyncio.gather(*self._tasks)


async def test_keys_and_workers_change_under_load_without_a_failure(gateway, client, serve, blue):
    def serving(server, keys):
        return state(endpoint({"d": server.deployment()}, {"d": 100}, keys=keys))

    old_keys, new_keys = KEYS, (KEYS[1], "regenerated-key-5555555")
    await gateway.update(serving(blue, old_keys))
    load = Load(client)
    await load.more()
    # The primary key is regenerated: clients go over to the secondary one before, which stays.
    load.headers["Authorization"] = f"Bearer {KEYS[1]}"
    await load.more()
    assert await gateway.update(serving(blue, new_keys))
    assert (await client.post("/ws/ep/score", headers=BEARER)).status_code == 401
    load.headers["Authorization"] = f"Bearer {new_keys[1]}"
    await load.more()
    # A new process group takes over, the old one drains.
    successor = serve(ECHO, env={"WHO": "successor"})
    old = serve(ECHO, env={"WHO": "old"})
    for server in (old, successor):
        await gateway.update(serving(server, new_keys))
        await load.more()
    old.stop()
    await load.more()
    # New token keys replace the listener.
    trust = TokenTrust(json.dumps(KeySet([RSAKey.generate_key(2048, auto_kid=True)]).as_dict(private=False)), "https://issuer/")
    tokens = GatewayState(serving(successor, new_keys).endpoints, trust)
    assert await gateway.update(tokens)
    await load.more()
    await load.stop()
    assert load.failures == []
    assert load.seen == {"blue", "old", "successor"}


async def test_requests_under_way_end_well_when_their_workers_are_replaced_or_removed(gateway, client, serve, blue):
    for successor in (endpoint({"d": blue.deployment()}, {"d": 100}), endpoint({}), None):
        server = serve(WAITING, timeout_s=60)
        await gateway.update(state(endpoint({"d": server.deployment()}, {"d": 100})))
        under_way = asyncio.create_task(client.post("/ws/ep/score", content="x", headers=BEARER))
        await asyncio.to_thread(wait_for, (server.folder / "begun").exists)
        await gateway.update(state(successor) if successor else state())
        server.process.terminate()
        (server.folder / "go").touch()
        assert (await under_way).json() == "done"


async def test_a_killed_envoy_serves_again_from_its_files_alone(gateway, client, blue, folder, certificate):
    own = Gateway(folder / "gw2", "127.0.0.1", free_port(), *certificate)
    own.prepare()
    with (folder / "envoy2.log").open("ab") as log:
        for attempt in range(2):
            process = subprocess.Popen(own.argv(threads=1), stdout=log, stderr=log)  # noqa: ASYNC220
            try:
                await own.wait_running()
                if attempt == 0:
                    assert await own.update(state(endpoint({"blue": blue.deployment()}, {"blue": 100})))
                url = f"https://localhost:{own.port}/ws/ep/score"
                assert (await client.post(url, headers=BEARER)).status_code == 200
            finally:
                process.kill()
                process.wait()
    # Without Envoy an update is for its next start.
    assert await own.update(state())
    assert not await own.update(state())
    with pytest.raises(GatewayError, match="does not answer"):
        await own.statistics()
    with pytest.raises(GatewayError, match="does not answer"):
        await own.wait_running(0.1)


async def test_a_renewed_certificate_is_read_again(gateway, client, envoy, folder, certificate, make_certificate):
    host, port = envoy[1].removeprefix("https://").split(":")

    def served() -> str:
        return ssl.get_server_certificate((host, int(port)))

    before = await asyncio.to_thread(served)
    for old, new in zip(certificate, make_certificate(folder / "renewed"), strict=True):
        new.replace(old)
    await asyncio.to_thread(wait_for, lambda: served() != before)


async def test_large_bodies_pass(gateway, client, serve):
    script = "def init(): pass\ndef run(data): return len(data)"
    server = serve(script, timeout_s=60)
    await gateway.update(state(endpoint({"d": server.deployment()}, {"d": 100})))
    answer = await client.post("/ws/ep/score", content=b"x" * 20_000_000, headers=BEARER)
    assert answer.json() == 20_000_000


@pytest.mark.parametrize("resend", [False, True])
async def test_a_killed_worker_costs_only_what_it_was_scoring(gateway, client, serve, resend):
    server = serve(ECHO, workers=2, env={"WHO": "two"})
    await gateway.update(state(endpoint({"d": server.deployment(resend=resend)}, {"d": 100})))
    load = Load(client)
    for index in (0, 1):
        await load.more()
        victim = server.status.workers[index]
        os.kill(victim.pid, 9)
        while server.status.workers[index].pid in (victim.pid, None) or not server.status.workers[index].ready:
            await asyncio.sleep(0.01)
        await load.more()
    await load.stop()
    # What was with the worker is only sent again when it may be: it may have had effects.
    assert all("ModelProcessEnded" in text for _, text in load.failures), load.failures
    assert len(load.failures) <= (0 if resend else 2 * 2 * 4)  # a dying worker may take a connection more
    assert [worker.restarts for worker in server.status.workers] == [1, 1]


async def test_requests_wait_for_the_only_worker_to_come_back(gateway, client, serve):
    server = serve(ECHO, env={"WHO": "one"}, timeout_s=20)
    await gateway.update(state(endpoint({"d": server.deployment()}, {"d": 100})))
    first = (await client.post("/ws/ep/score", headers=BEARER)).json()["pid"]
    os.kill(first, 9)
    wait_for(lambda: server.status.workers[0].pid != first)
    answer = await client.post("/ws/ep/score", headers=BEARER)
    assert answer.status_code == 200
    assert answer.json()["pid"] != first

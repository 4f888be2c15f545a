from __future__ import annotations

import asyncio
import json
import stat
import subprocess
import time

import msgspec
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

from lazward.apps.serving.gateway import Gateway, GatewayError, parse_statistics
from lazward.domain.serving import DeploymentState, TokenTrust, endpoint_token_claims
from tests.apps.serving.conftest import free_port
from tests.apps.serving.endpoints import BEARER, ECHO, KEYS, WAITING, endpoint, state
from tests.execution.runtime.serve.processes import wait_for


@pytest.fixture(scope="module")
def blue(serve):
    return serve(ECHO, env={"WHO": "blue"})


@pytest.fixture(scope="module")
def green(serve):
    return serve(ECHO, env={"WHO": "green"})


async def test_only_the_keys_of_the_endpoint_open_it(gateway, client, blue):
    other = endpoint({"blue": blue.deployment()}, {"blue": 100}, name="other", keys=("another-key-0123456789",))
    await gateway.update(state(endpoint({"blue": blue.deployment()}, {"blue": 100}), other))
    for key in KEYS:
        answer = await client.post("/ws/ep/score", content="1", headers={"Authorization": f"Bearer {key}"})
        assert answer.status_code == 200
        assert answer.headers["azureml-model-deployment"] == "blue"
        assert "Authorization" not in answer.json()["headers"]
    wrong = (None, "", KEYS[0], f"Basic {KEYS[0]}", f"Bearer {KEYS[0]}x", f"Bearer {KEYS[0][:-1]}", "Bearer")
    for header in (*wrong, "Bearer another-key-0123456789", f"Bearer {KEYS[0].upper()}"):
        for path in ("/ws/ep/score", "/ws/ep/", "/ws/ep/swagger.json", "/ws/ep", "/ws/ep/anything"):
            answer = await client.get(path, headers={"Authorization": header} if header is not None else {})
            assert answer.status_code == 401, (header, path)
            assert answer.json()["error"]["code"] == "Unauthorized"
            assert answer.headers["www-authenticate"] == "Bearer"
            assert answer.headers["x-ms-request-id"]


async def test_a_path_of_no_endpoint_is_404_and_tricks_do_not_change_the_endpoint(gateway, client, envoy, blue):
    other = endpoint({"blue": blue.deployment()}, {"blue": 100}, name="other", keys=("another-key-0123456789",))
    await gateway.update(state(endpoint({"blue": blue.deployment()}, {"blue": 100}), other))
    for path in ("/", "/ws", "/ws/epilogue/score", "/ws2/ep/score"):
        answer = await client.get(path, headers=BEARER)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "EndpointNotFound")
    host, port = envoy[1].removeprefix("https://").split(":")
    for target in ("/ws/ep/../other/score", "/ws/ep/%2e%2e/other/score", "/ws/ep/..//other/score", "//ws//other/score"):
        assert await _raw_status(client, host, int(port), target) == 401, target
    assert await _raw_status(client, host, int(port), "/ws/ep%2fscore") == 400


async def _raw_status(client, host, port, target) -> int:
    """The status for a request target sent as it is, with the key of the endpoint ep."""
    reader, writer = await asyncio.open_connection(host, port, ssl=client._transport._pool._ssl_context)
    writer.write(f"GET {target} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {KEYS[0]}\r\n\r\n".encode())
    line = await reader.readline()
    writer.close()
    return int(line.split()[1])


async def test_the_deployment_header_picks_one_and_what_is_below_the_prefix_arrives(gateway, client, blue, green):
    deployments = {"blue": blue.deployment(), "green": green.deployment()}
    await gateway.update(state(endpoint(deployments, {"blue": 100, "green": 0})))
    for name in ("blue", "green"):
        headers = {**BEARER, "azureml-model-deployment": name, "x-ms-client-request-id": "mine"}
        answer = await client.post("/ws/ep/score?a=1&b=/ws/ep/", content="body", headers=headers)
        assert answer.json()["model"] == name
        assert answer.json()["path"] == "/score?a=1&b=/ws/ep/"
        assert answer.json()["body"] == "body"
        assert answer.headers["azureml-model-deployment"] == name
        assert answer.headers["x-ms-client-request-id"] == "mine"
        assert answer.headers["x-ms-request-id"]
    answer = await client.post("/ws/ep/score", headers={**BEARER, "azureml-model-deployment": "red"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "DeploymentNotFound")
    for path in ("/ws/ep", "/ws/ep/"):
        answer = await client.get(path, headers=BEARER)
        assert (answer.status_code, answer.text) == (200, "Healthy")
        assert answer.headers["azureml-model-deployment"] == "blue"
    assert (await client.get("/ws/ep/swagger.json?version=3", headers=BEARER)).json()["openapi"].startswith("3.0")
    assert (await client.options("/ws/ep/score", headers=BEARER)).json()["method"] == "OPTIONS"


async def test_traffic_is_split(gateway, client, blue, green):
    deployments = {"blue": blue.deployment(), "green": green.deployment()}
    await gateway.update(state(endpoint(deployments, {"blue": 50, "green": 50})))
    answers = [await client.post("/ws/ep/score", headers=BEARER) for _ in range(60)]
    assert {answer.json()["model"] for answer in answers} == {"blue", "green"}
    assert all(answer.headers["azureml-model-deployment"] == answer.json()["model"] for answer in answers)
    await gateway.update(state(endpoint(deployments, {"green": 100})))
    answers = [await client.post("/ws/ep/score", headers=BEARER) for _ in range(20)]
    assert {answer.json()["model"] for answer in answers} == {"green"}


async def test_mirrored_requests_reach_the_other_deployment_but_not_the_caller(gateway, client, blue, green):
    deployments = {"blue": blue.deployment(), "green": green.deployment()}
    await gateway.update(state(endpoint(deployments, {"blue": 100}, mirror={"green": 100})))
    before = green.log().count("POST /score")
    for _ in range(5):
        assert (await client.post("/ws/ep/score", content="x", headers=BEARER)).json()["model"] == "blue"
    wait_for(lambda: green.log().count("POST /score") == before + 5)


async def test_without_traffic_or_a_ready_deployment_the_answer_says_so(gateway, client, blue):
    unready = DeploymentState()
    await gateway.update(state(endpoint({"blue": blue.deployment(), "green": unready})))
    answer = await client.post("/ws/ep/score", headers=BEARER)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "NoTraffic")
    answer = await client.post("/ws/ep/score", headers={**BEARER, "azureml-model-deployment": "green"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "DeploymentNotReady")
    await gateway.update(state(endpoint({"green": unready}, {"green": 100})))
    answer = await client.post("/ws/ep/score", headers=BEARER)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "DeploymentNotReady")
    assert (await client.post("/ws/ep/score")).status_code == 401
    await gateway.update(state(endpoint({"blue": blue.deployment(), "green": unready}, {"blue": 50, "green": 50})))
    statuses = {(await client.post("/ws/ep/score", headers=BEARER)).status_code for _ in range(60)}
    assert statuses == {200, 503}


async def test_errors_of_the_model_become_424_with_the_models_status(gateway, client, blue):
    await gateway.update(state(endpoint({"blue": blue.deployment()}, {"blue": 100})))
    for query, status in (("fail=1", "500"), ("status=418", "418"), ("status=403", "403"), ("status=401", "401")):
        answer = await client.post(f"/ws/ep/score?{query}", headers=BEARER)
        assert answer.status_code == 424
        assert answer.headers["ms-azureml-model-error-statuscode"] == status
        assert answer.headers["ms-azureml-model-error-reason"] == "model_error"
    assert answer.text == "told to"
    assert (await client.post("/ws/ep/score?status=201", headers=BEARER)).status_code == 201


async def test_slow_answers_are_408_and_too_many_429_while_probes_are_answered(gateway, client, serve):
    slow = serve(WAITING, timeout_s=60)
    await gateway.update(state(endpoint({"slow": slow.deployment(timeout_s=0.3)}, {"slow": 100})))
    answer = await client.post("/ws/ep/score", content="x", headers=BEARER)
    assert (answer.status_code, answer.json()["error"]["code"]) == (408, "RequestTimeout")

    await gateway.update(state(endpoint({"slow": slow.deployment(timeout_s=60, max_parallel=2)}, {"slow": 100})))
    pending = [asyncio.create_task(client.post("/ws/ep/score", content="x", headers=BEARER)) for _ in range(2)]
    while (await gateway.statistics())["ws/ep/slow"].active < 2:
        await asyncio.sleep(0.01)
    answer = await client.post("/ws/ep/score", content="x", headers=BEARER)
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "TooManyRequests")
    answer = await client.get("/ws/ep/", headers=BEARER)
    assert (answer.status_code, answer.text) == (200, "Healthy")
    (slow.folder / "go").touch()
    assert [(await task).json() for task in pending] == ["done", "done"]
    counts = (await gateway.statistics())["ws/ep/slow"]
    assert (counts.timeouts, counts.rejected, counts.server_errors) == (1, 1, 0)


async def test_streamed_answers_arrive_piece_by_piece(gateway, client, serve):
    server = serve(WAITING, timeout_s=60)
    await gateway.update(state(endpoint({"s": server.deployment()}, {"s": 100})))
    async with client.stream("POST", "/ws/ep/score", content="stream", headers=BEARER) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        chunks = answer.aiter_bytes()
        assert await anext(chunks) == b"data: 1\n\n"
        (server.folder / "first-arrived").touch()
        assert b"".join([chunk async for chunk in chunks]) == b"data: 2\n\n"


async def test_tokens_count_for_their_endpoint_only(gateway, client, blue):
    key, stranger = RSAKey.generate_key(2048, auto_kid=True), RSAKey.generate_key(2048, auto_kid=True)
    trust = TokenTrust(
        jwks=json.dumps(KeySet([key]).as_dict(private=False)),
        endpoint_issuer="https://issuer/",
        aad_issuers=("https://issuer/v2.0", "https://issuer/adfs"),
        aad_audiences=("https://ml.azure.com",),
    )
    deployments, traffic = {"blue": blue.deployment()}, {"blue": 100}
    minted = endpoint(deployments, traffic, name="minted", auth="token", keys=KEYS)
    aad = endpoint(deployments, traffic, name="aad", auth="aad", principals=("alice", "bob"), keys=KEYS)
    await gateway.update(state(minted, aad, endpoint(deployments, traffic), tokens=trust))

    async def status(path: str, claims: dict, signer=key) -> int:
        claims = {"exp": int(time.time()) + 60, **claims}
        token = jwt.encode({"alg": "RS256", "kid": signer.kid}, claims, signer)
        return (await client.post(path, headers={"Authorization": f"Bearer {token}"})).status_code

    own = {"iss": "https://issuer/", **endpoint_token_claims("ws", "minted")}
    assert await status("/ws/minted/score", own) == 200
    assert await status("/ws/minted/score", {**own, "endpoint": "ws/other"}) == 401
    assert await status("/ws/minted/score", {**own, "aud": "https://ml.azure.com"}) == 401
    assert await status("/ws/minted/score", {**own, "iss": "https://elsewhere/"}) == 401
    assert await status("/ws/minted/score", {**own, "exp": int(time.time()) - 600}) == 401
    assert await status("/ws/minted/score", own, stranger) == 401
    assert (await client.post("/ws/minted/score", headers=BEARER)).status_code == 401
    assert (await client.post("/ws/minted/score")).status_code == 401

    alice = {"iss": "https://issuer/v2.0", "aud": "https://ml.azure.com", "oid": "alice"}
    assert await status("/ws/aad/score", alice) == 200
    assert await status("/ws/aad/score", {**alice, "iss": "https://issuer/adfs"}) == 200
    assert await status("/ws/aad/score", {**alice, "oid": "mallory"}) == 401
    assert await status("/ws/aad/score", {**alice, "aud": "https://management.azure.com"}) == 401
    assert await status("/ws/aad/score", {**alice, **own}) == 401

    # What a job carries counts at its own workspace's endpoints, while the job lasts (S5, S14).
    run = {"lz_bound": "/w", "lz_run": "r1"}
    assert await status("/ws/aad/score", {**alice, **run}) == 401
    assert await status("/ws/minted/score", {**own, **run}) == 401
    with_runs = {"home": "/w", "runs": ("r1", "r2")}
    minted, aad = (msgspec.structs.replace(one, **with_runs) for one in (minted, aad))
    await gateway.update(state(minted, aad, endpoint(deployments, traffic), tokens=trust))
    for limits, expected in (({}, 200), (run, 200), ({**run, "lz_bound": "/other"}, 401), ({**run, "lz_run": "r3"}, 401), ({"lz_run": "r1"}, 401), ({"lz_bound": "/w"}, 401)):
        assert await status("/ws/aad/score", {**alice, **limits}) == expected, limits
        assert await status("/ws/minted/score", {**own, **limits}) == expected, limits
    assert await status("/ws/aad/score", {**alice, **run, "oid": "mallory"}) == 401
    assert await status("/ws/minted/score", {**own, **run, "endpoint": "ws/other"}) == 401
    assert await status("/ws/ep/score", own) == 401
    answer = await client.post("/ws/minted/score", headers={"Authorization": "Bearer abc"})
    assert answer.json()["error"]["code"] == "Unauthorized"


async def test_s7_only_our_own_names_are_served_and_pages_of_others_get_no_leave(gateway, client, blue):
    await gateway.update(state(endpoint({"blue": blue.deployment()}, {"blue": 100})))
    for host, expected in (("localhost", 200), ("LOCALHOST:1", 200), ("127.0.0.1:8444", 200), ("[::1]:8444", 200), ("evil.example", 421), ("localhost.evil.example:8444", 421)):
        answer = await client.post("/ws/ep/score", headers={**BEARER, "host": host})
        assert answer.status_code == expected, host
        assert "set-cookie" not in answer.headers
    for headers in ({}, BEARER):
        asked = await client.options("/ws/ep/score", headers={**headers, "Origin": "https://evil.example", "Access-Control-Request-Method": "POST"})
        assert not [name for name in asked.headers if name.lower().startswith("access-control-")]


async def test_headers_of_a_caller_do_not_steer_the_gateway(gateway, client, blue):
    await gateway.update(state(endpoint({"blue": blue.deployment()}, {"blue": 100})))
    tricks = {"x-envoy-upstream-rq-timeout-ms": "1", "x-envoy-upstream-alt-stat-name": "x", "x-envoy-original-path": "/q"}
    answer = await client.post("/ws/ep/score", headers={**BEARER, **tricks})
    assert answer.status_code == 200
    assert not [name for name in answer.json()["headers"] if name.lower().startswith("x-envoy")]


async def test_update_is_idempotent_and_its_files_are_private(gateway, blue):
    wanted = state(endpoint({"blue": blue.deployment()}, {"blue": 100}))
    await gateway.update(wanted)
    assert not await gateway.update(wanted)
    assert stat.S_IMODE(gateway.directory.stat().st_mode) == 0o700
    for path in gateway.directory.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    assert not any(KEYS[0] in argument for argument in gateway.argv())


async def test_a_configuration_that_envoy_refuses_is_reported(gateway, blue):
    good = state(endpoint({"blue": blue.deployment()}, {"blue": 100}))
    await gateway.update(good)
    bad = TokenTrust(jwks="no jwks", endpoint_issuer="https://issuer/")
    with pytest.raises(GatewayError, match=r"refused the document lds\.json"):
        await gateway.update(state(tokens=bad))
    await gateway.update(good)


async def test_statistics_count_by_deployment(gateway, client, blue):
    await gateway.update(state(endpoint({"counted": blue.deployment()}, {"counted": 100})))
    before = (await gateway.statistics()).get("ws/ep/counted")
    assert before is None or before.requests == 0
    for query in ("", "", "?status=404"):
        await client.post(f"/ws/ep/score{query}", headers=BEARER)
    statistics = await gateway.statistics()
    assert not [name for name in statistics if name.startswith("ws/ep/counted") and name != "ws/ep/counted"]
    counts = statistics["ws/ep/counted"]
    assert (counts.requests, counts.succeeded, counts.client_errors) == (3, 2, 1)


def test_latencies_are_read_from_histograms():
    answer = {
        "stats": [
            {"name": "cluster.w/e/d.upstream_rq_total", "value": 7},
            {"name": "cluster.w/e/d.external.upstream_rq_2xx", "value": 7},
            {
                "histograms": {
                    "supported_quantiles": [0, 50, 95, 99, 99.5],
                    "computed_quantiles": [
                        {
                            "name": "cluster.w/e/d.upstream_rq_time",
                            "values": [{"interval": None, "cumulative": value} for value in (0, 1.5, 9, 20, 30)],
                        }
                    ],
                }
            },
        ]
    }
    (counts,) = parse_statistics(answer).values()
    assert (counts.requests, counts.succeeded, counts.p50_ms, counts.p95_ms, counts.p99_ms) == (7, 0, 1.5, 9, 20)


async def test_it_is_wanted_from_the_first_endpoint_on(tmp_path, certificate):
    gateway = Gateway(tmp_path / "gw", "127.0.0.1", free_port(), *certificate, on_demand=True)
    gateway.prepare()
    await gateway.update(state())
    assert not gateway.wanted()
    updating = asyncio.create_task(gateway.update(state(endpoint({}, {}))))
    while not gateway.wanted():
        await asyncio.sleep(0.01)
    assert not updating.done()  # it answers once requests are taken
    process = await asyncio.create_subprocess_exec(*gateway.argv(threads=1), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert await updating is True and await gateway.running()
        gateway.prepare()  # the next server keeps what was served
        assert gateway.wanted()
        await gateway.update(state())
        assert gateway.wanted()
        gateway.prepare()
        assert not gateway.wanted()
    finally:
        process.terminate()
        await process.wait()


async def test_one_that_does_not_come_is_an_error(tmp_path, certificate):
    gateway = Gateway(tmp_path / "gw", "127.0.0.1", free_port(), *certificate, on_demand=True)
    gateway.prepare()
    for _ in range(2):  # the second time the files are right already
        with pytest.raises(GatewayError, match="does not answer"):
            await gateway.update(state(endpoint({}, {})), timeout_s=0.1)
    assert gateway.wanted()  # it is started all the same, with what is in the files

"""The reference server as oracle: the same scripts and requests must get the same answers.

Needs azureml-inference-server-http (with numpy and pandas) in an environment of its own, whose `azmlinfsrv` is named by
LAZWARD_TEST_AZMLINFSRV; skipped without. If that environment also holds the serving requirements, our server runs in it too,
with the real inference-schema.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import httpx2
import pytest

from lazward.execution.serving import Service, process_spec, read_status, worker_sockets
from tests.execution.runtime.serve.processes import wait_for

ORACLE = os.environ.get("LAZWARD_TEST_AZMLINFSRV", "")
SCRIPTS = Path(__file__).parent / "scripts"
JSON = {"content-type": "application/json"}
pytestmark = pytest.mark.skipif(not ORACLE, reason="LAZWARD_TEST_AZMLINFSRV does not name the reference server")


def post(body, headers=JSON, path="/score"):
    return ("POST", path, headers, body if isinstance(body, (str, bytes)) else json.dumps(body))


COMMON = [
    ("GET", "/", {}, ""),
    ("HEAD", "/", {}, ""),
    ("POST", "/", {}, "x"),
    ("PUT", "/score", {}, "x"),
    ("DELETE", "/score", {}, ""),
    ("GET", "/nope", {}, ""),
    post("1", path="/score/"),
    ("GET", "/swagger.json?version=9", {}, ""),
    post("1", {**JSON, "x-ms-request-id": "a" * 101}),
    post("1", {**JSON, "x-ms-client-request-id": "a" * 101}),
]
MULTIPART = (
    b'--bb\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\nContent-Type: image/png\r\n\r\nPNG\r\n'
    b'--bb\r\nContent-Disposition: form-data; name="t"\r\n\r\nv\r\n--bb--\r\n'
)
GOOD = {"data": [[1, 2]], "count": 3}
CASES = {
    "plain": [
        *COMMON,
        *[post(name) for name in ("none", "str", "json-text", "int", "float", "nan", "bool", "list", "dict", "tuple")],
        *[post(name) for name in ("bytes", "set", "boom")],
        post(""),
        post("not json"),
        post(b"\xff\xfe"),
        post(b"\xef\xbb\xbf"),
        post("ü".encode()),
        post('{"a": 1}', {}),
        ("GET", "/score", {}, ""),
        ("GET", "/score?a=1&b=x&b=2", {}, ""),
        ("OPTIONS", "/score", {}, ""),
    ],
    "raw": [
        *COMMON,
        ("GET", "/score", {}, ""),
        ("OPTIONS", "/score", {}, ""),
        post("hello", {"X-Mine": "bar"}),
        post({"z": 1}, {**JSON, "cookie": "a=b"}, "/score?x=1&y=2&y=%C3%BC"),
        *[post("x", {}, f"/score?answer={a}") for a in ("text", "json", "json-object", "bytes", "failed", "none", "str")],
        *[post("x", {}, f"/score?answer={a}") for a in ("boom", "get_json", "file")],
        post("{}", JSON, "/score?answer=get_json"),
        post(MULTIPART, {"content-type": "multipart/form-data; boundary=bb"}, "/score?answer=file"),
    ],
    "headers": [post("x", {**JSON, "X-Mine": "v"}), post("x")],
    "schema": [
        *COMMON,
        *[("GET", f"/swagger.json?version={v}", {}, "") for v in ("2", "3", "3.1")],
        post(GOOD),
        post({**GOOD, "frame": [{"a": 2, "b": "z"}], "more": {"x": 1, "y": [], "z": {}}}),
        post({**GOOD, "frame": [{"b": "x", "a": 1}]}),
        post({**GOOD, "frame": {"a": [1], "b": ["x"]}}),
        post({**GOOD, "frame": [[1, "x"]]}),
        post({**GOOD, "frame": [{"a": 1.5, "b": "x"}]}),
        post({**GOOD, "more": {"x": "str"}}),
        post({**GOOD, "more": None}),
        post({**GOOD, "flag": [1]}),
        post({**GOOD, "unknown": 1}),
        post({**GOOD, "data": [[1, "2"]]}),
        post({**GOOD, "data": [[None, 2]]}),
        post({"data": [[1, 2]]}),
        *[post(body) for body in ("", "not json", "null", "3", "[1]")],
        post(GOOD, {}),
        post(GOOD, {"content-type": "text/plain"}),
        post(GOOD, {"content-type": "application/json; charset=utf-8"}),
        ("GET", "/score?count=3", {}, ""),
        ("GET", "/score?count=3&data=%5B%5B1%2C2%5D%5D", {}, ""),
    ],
    "nested": [
        ("GET", "/swagger.json", {}, ""),
        post({"Inputs": {"data": [{"age": 4, "job": "q"}]}, "GlobalParameters": {"method": "m"}}),
        post({"Inputs": {"data": [{"age": 4, "job": "q"}]}, "GlobalParameters": 5}),
        post({"Inputs": {"data": [{"age": 4, "job": "q"}]}}),
        post({"GlobalParameters": {}}),
    ],
}
# The reference answers 500 here; we say what does not fit.
UNFIT = [
    {**GOOD, "data": [[1, 2, 3]]},
    {**GOOD, "data": [1, 2]},
    {**GOOD, "data": [["q", 2]]},
    {**GOOD, "data": "x"},
    {**GOOD, "count": "three"},
    {**GOOD, "count": 1.5},
    {**GOOD, "frame": [{"a": "x", "b": "y"}]},
    {**GOOD, "frame": [{"a": 1}]},
    {**GOOD, "frame": 5},
    {**GOOD, "more": 5},
]


def pythons() -> list[str]:
    if not ORACLE:
        return [sys.executable]
    other = str(Path(ORACLE).parent / "python")
    has = subprocess.run([other, "-c", "import uvicorn, httptools, uvloop, inference_schema"], capture_output=True)
    return [sys.executable, other] if has.returncode == 0 else [sys.executable]


@pytest.fixture(scope="module")
def oracle(tmp_path_factory):
    """oracle(script) -> a client on the reference server."""
    processes = []

    def start(script: str) -> httpx2.Client:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        argv = [ORACLE, "--entry_script", str(SCRIPTS / f"{script}.py"), "--port", str(port)]
        home = str(tmp_path_factory.mktemp("home"))
        env = {"PATH": os.environ["PATH"], "HOME": home}
        processes.append(subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=home, env=env))
        client = httpx2.Client(base_url=f"http://127.0.0.1:{port}")

        def up() -> bool:
            try:
                return client.get("/").status_code == 200
            except httpx2.ConnectError:
                return False

        wait_for(up)
        return client

    yield start
    for process in processes:
        process.terminate()
        process.wait()


@pytest.fixture(params=pythons(), ids=lambda path: "environment" if path == sys.executable else "with-inference-schema")
def ours(request):
    """ours(script) -> a client on our server."""
    processes, folders = [], []

    def start(script: str) -> httpx2.Client:
        folder = Path(tempfile.mkdtemp(prefix="lz-"))  # short, for unix sockets
        folders.append(folder)
        service = Service(
            Path(request.param), folder / "s", folder / "state", folder / "log", SCRIPTS, f"{script}.py", timeout_s=60
        )
        spec = process_spec(service)
        with open(spec.log, "ab") as log:
            processes.append(subprocess.Popen(spec.argv, env=dict(spec.env), stdout=log, stderr=log))
        wait_for(lambda: (status := read_status(service.state)) and status.ready, lambda: Path(spec.log).read_text())
        transport = httpx2.HTTPTransport(uds=worker_sockets(service)[0])
        return httpx2.Client(base_url="http://localhost", transport=transport)

    yield start
    for process in processes:
        process.terminate()
        process.wait()
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def facts(answer: httpx2.Response) -> dict:
    """What must be equal: for errors the wording may differ."""
    kind = answer.headers.get("content-type", "").split(";")[0]
    body: object = answer.content
    if kind == "application/json" and answer.content:
        body = answer.json()
    if answer.status_code >= 400 and isinstance(body, dict) and "message" in body:
        body = "message"
    if isinstance(body, dict) and ("swagger" in body or "openapi" in body):
        schemas = body.get("definitions") or body["components"]["schemas"]
        body = {"paths": {p: sorted(v) for p, v in body["paths"].items()}, "schemas": schemas}
    return {"status": answer.status_code, "type": kind, "body": repr(body), "mine": answer.headers.get("x-mine")}


@pytest.mark.parametrize("script", CASES)
def test_answers_are_those_of_the_reference(script, oracle, ours):
    theirs, mine = oracle(script), ours(script)
    differences = []
    for method, path, headers, body in CASES[script]:
        content = body.encode() if isinstance(body, str) else body
        answers = [client.request(method, path, headers=headers, content=content) for client in (theirs, mine)]
        expected, got = (facts(answer) for answer in answers)
        failed = [answer.headers.get("x-ms-run-function-failed") for answer in answers]
        if expected != got or (path == "/score" and answers[0].status_code == 200 and failed[0] != failed[1]):
            differences.append((method, path, body, expected, got, failed))
    assert not differences, "\n".join(map(repr, differences))


def test_input_that_does_not_fit_the_schema_is_refused_with_the_reason(oracle, ours):
    theirs, mine = oracle("schema"), ours("schema")
    for body in UNFIT:
        assert theirs.post("/score", json=body).status_code == 500
        answer = mine.post("/score", json=body)
        assert answer.status_code == 400, body
        assert "does not fit" in answer.json()["message"]


def test_request_ids_are_those_of_the_reference(oracle, ours):
    names = ("x-request-id", "x-ms-request-id", "x-ms-client-request-id")
    theirs, mine = oracle("plain"), ours("plain")
    for number in range(8):
        sent = {name: f"id-{bit}" for bit, name in enumerate(names) if number >> bit & 1}
        expected, got = (
            {name: client.post("/score", content="1", headers=sent).headers.get(name) for name in names}
            for client in (theirs, mine)
        )
        made = {name for name in names if expected[name] and not expected[name].startswith("id-")}
        assert {n for n in names if got[n] and not got[n].startswith("id-")} == made
        assert {n: v for n, v in got.items() if n not in made} == {n: v for n, v in expected.items() if n not in made}

from __future__ import annotations

import json
import time

import pytest

from lazward.execution.runtime.serve.legacy.decorators import input_schema, output_schema
from lazward.execution.runtime.serve.legacy.parameters import StandardPythonParameterType
from lazward.execution.runtime.serve.messages import Request
from lazward.execution.runtime.serve.scoring import ScriptError, ScriptModel


def request(body=b"", method="POST", query=b"", headers=((b"content-type", b"application/json"),)) -> Request:
    return Request(method, "/score", query, list(headers), body, {})


def score(run, *args, timeout_s=5.0, **kwargs):
    """(status, JSON of the answer, x-ms-run-function-failed)."""
    reply = ScriptModel(run, timeout_s).score(request(*args, **kwargs))
    return reply.status, json.loads(reply.body), reply.run_failed


def test_an_exception_is_answered_with_its_text_and_the_server_goes_on():
    def run(data):
        if data == "exit":
            raise SystemExit(3)
        raise ValueError("kaboom")

    status, answer, failed = score(run, b"x")
    assert (status, failed, answer["error"]["message"]) == (500, True, "ValueError: kaboom")
    assert score(run, b"exit")[0] == 500


def test_a_result_that_is_no_json_is_named():
    status, answer, failed = score(lambda data: {1, 2}, b"x")
    assert (status, failed) == (500, False)
    assert "set is not JSON serializable" in answer["error"]["message"]


class TestTimeLimit:
    def test_run_is_interrupted_though_it_catches_exceptions(self):
        def run(data):
            while data != "fast":
                try:
                    time.sleep(10)
                except Exception:
                    return "swallowed"
            return "fast"

        status, answer, failed = score(run, b"slow", timeout_s=0.05)
        assert (status, failed) == (500, True)
        assert "50 ms" in answer["message"]
        assert score(run, b"fast", timeout_s=0.05) == (200, "fast", False)

    async def test_a_coroutine_is_limited_too(self):
        import asyncio

        async def run(data):
            await asyncio.sleep(0 if data == "fast" else 10)
            return data

        model = ScriptModel(run, 0.05)
        assert json.loads((await model.score(request(b"fast"))).body) == "fast"
        assert (await model.score(request(b"slow"))).status == 500


class TestParameters:
    def test_headers_come_by_name(self):
        def run(data, request_headers):
            return [data, request_headers["X-Mine"]]

        assert score(run, b"d", headers=[(b"x-mine", b"a"), (b"x-mine", b"b")])[1] == ["d", "a,b"]

    @pytest.mark.parametrize("source", ["lambda: 1", "lambda *a: 1", "lambda **k: 1", "lambda a, /: 1"])
    def test_a_signature_that_can_not_be_called_is_refused_at_the_start(self, source):
        with pytest.raises(ScriptError, match=r"run\(\)"):
            ScriptModel(eval(source), 1)


class TestSchema:
    @staticmethod
    def model():
        @input_schema("a", StandardPythonParameterType(1))
        @output_schema(StandardPythonParameterType(1))
        def run(a, b=2):
            if a == 13:
                raise ValueError("unlucky")
            return a + b

        return ScriptModel(run, 5)

    @pytest.mark.parametrize(
        ("body", "status", "said"),
        [
            (b'{"a": 1}', 200, None),
            (b'{"a": 1, "b": 5, "c": 6}', 200, None),
            (b'{"a": "x"}', 400, "expected int, got str"),
            (b'{"a": 13}', 500, "unlucky"),
            (b'{"b": 1}', 400, "'a'"),
            (b"[1]", 400, "JSON object"),
            (b"", 400, "empty"),
            (b"{", 400, "not JSON"),
            (b"[" * 100_000, 400, "not JSON"),
            (b"\xff", 400, "UTF-8"),
        ],
    )
    def test_what_does_not_fit_is_400_and_what_fails_in_run_is_500(self, body, status, said):
        reply = self.model().score(request(body))
        assert reply.status == status
        assert said is None or said in json.dumps(json.loads(reply.body))

    def test_the_content_type_must_be_json(self):
        assert self.model().score(request(b'{"a": 1}', headers=[])).status == 415

    def test_query_values_are_read_as_json_where_they_are(self):
        assert json.loads(self.model().score(request(method="GET", query=b"a=1&b=2")).body) == 3

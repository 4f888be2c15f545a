from __future__ import annotations

import pytest

from lazward.execution.runtime.serve.app import App
from lazward.execution.runtime.serve.messages import Reply, json_reply


class Echo:
    """A model that answers what it is told to, by default the length of the body."""

    def __init__(self, reply=None) -> None:
        self.reply = reply
        self.requests = []

    def score(self, request):
        self.requests.append(request)
        return self.reply or json_reply(200, len(request.body))

    def swagger(self):
        return {"type": "string"}, {"type": "integer"}


class Answer:
    def __init__(self) -> None:
        self.status, self.headers, self.chunks = 0, {}, []

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)


async def call(app: App, method="POST", path="/score", headers=(), chunks=(b"",), query=b"") -> Answer:
    """One request straight into the ASGI application."""
    answer, events = Answer(), list(chunks)

    async def receive():
        body = events.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(events)}

    async def send(event):
        if event["type"] == "http.response.start":
            answer.status = event["status"]
            answer.headers = {name.decode(): value.decode() for name, value in event["headers"]}
        else:
            answer.chunks.append(event["body"])

    scope = {"type": "http", "method": method, "path": path, "query_string": query, "headers": list(headers)}
    await app(scope, receive, send)
    return answer


def app(model=None, max_body=10, origins=()) -> App:
    return App(model or Echo(), max_body, origins, access_log=lambda *_: None)


class TestBody:
    async def test_arrives_whole_however_it_is_cut(self):
        assert (await call(app(), chunks=[b"1234567890"])).body == b"10"
        assert (await call(app(), chunks=[b"123", b"", b"4567890"])).body == b"10"

    @pytest.mark.parametrize("chunks", [[b"12345678901"], [b"12345", b"678901"], [b"12345", b"6789012", b"x" * 99]])
    async def test_over_the_limit_is_refused_before_it_is_read_in_full(self, chunks):
        model = Echo()
        answer = await call(app(model), chunks=chunks)
        assert (answer.status, answer.headers["connection"]) == (413, "close")
        assert model.requests == []

    async def test_that_declares_too_much_is_not_read(self):
        answer = await call(app(), headers=[(b"content-length", b"11")], chunks=[])
        assert answer.status == 413


class TestRoutes:
    async def test_unknown_paths_and_methods_are_refused_as_json(self):
        assert (await call(app(), path="/nope")).status == 404
        assert (await call(app(), path="/score/")).status == 404
        answer = await call(app(), method="PUT")
        assert (answer.status, answer.headers["content-type"]) == (405, "application/json")
        assert (await call(app(), method="POST", path="/")).status == 405

    async def test_health_and_swagger(self):
        assert (await call(app(), "GET", "/")).body == b"Healthy"
        head = await call(app(), "HEAD", "/")
        assert (head.body, head.headers["content-length"]) == (b"", "7")
        assert b'"swagger": "2.0"' in (await call(app(), "GET", "/swagger.json")).body
        assert b'"openapi": "3.1.0"' in (await call(app(), "GET", "/swagger.json", query=b"version=3.1")).body
        assert (await call(app(), "GET", "/swagger.json", query=b"version=9")).status == 404

    async def test_errors_of_the_model_carry_the_headers_for_the_gateway(self):
        answer = await call(app(Echo(json_reply(500, {}))))
        assert answer.headers["ms-azureml-model-error-statuscode"] == "500"
        assert "ms-azureml-model-error-statuscode" not in (await call(app())).headers

    async def test_an_awaitable_reply_is_awaited(self):
        class Later(Echo):
            async def score(self, request):
                return json_reply(200, "later")

        assert (await call(app(Later()))).body == b'"later"'


class TestIds:
    async def test_too_long_ones_are_refused_without_scoring(self):
        for name in (b"x-request-id", b"x-ms-request-id", b"x-ms-client-request-id"):
            model = Echo()
            assert (await call(app(model), headers=[(name, b"a" * 101)])).status == 431
            assert model.requests == []
            assert (await call(app(model), headers=[(name, b"a" * 100)])).headers[name.decode()] == "a" * 100

    async def test_one_is_made_where_none_is_given(self):
        one, other = await call(app()), await call(app())
        assert one.headers["x-ms-request-id"] == one.headers["x-request-id"] != other.headers["x-request-id"]


class TestCors:
    async def test_only_the_origins_that_are_named_are_allowed(self):
        guarded = app(origins=("https://a.com",))
        good = await call(guarded, headers=[(b"origin", b"https://a.com")])
        assert (good.headers["access-control-allow-origin"], good.headers["vary"]) == ("https://a.com", "Origin")
        for origin in (b"https://b.com", b"https://a.com.evil", b"null"):
            assert "access-control-allow-origin" not in (await call(guarded, headers=[(b"origin", origin)])).headers
        assert "access-control-allow-origin" not in (await call(app(), headers=[(b"origin", b"https://a.com")])).headers

    async def test_a_preflight_names_methods_and_headers(self):
        asked = [(b"origin", b"x"), (b"access-control-request-method", b"POST"), (b"access-control-request-headers", b"a")]
        answer = await call(app(origins=("*",)), "OPTIONS", headers=asked)
        assert "POST" in answer.headers["access-control-allow-methods"]
        assert answer.headers["access-control-allow-headers"] == "a"


class TestStream:
    async def test_pieces_are_sent_one_by_one(self):
        answer = await call(app(Echo(Reply(200, iter([b"a", b"b"])))))
        assert answer.chunks == [b"a", b"b", b""]
        assert "content-length" not in answer.headers

    async def test_a_failure_in_the_middle_cuts_the_answer_and_closes_the_source(self):
        closed = []

        def pieces():
            try:
                yield b"a"
                raise ValueError("broken")
            finally:
                closed.append(True)

        with pytest.raises(ValueError, match="broken"):
            await call(app(Echo(Reply(200, pieces()))))
        assert closed == [True]

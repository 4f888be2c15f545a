from __future__ import annotations

from lazward.execution.runtime.serve.legacy import aml_request, is_raw, is_response, response_reply
from lazward.execution.runtime.serve.legacy.aml import AMLResponse, rawhttp
from lazward.execution.runtime.serve.messages import Request


def test_the_request_is_read_as_with_flask():
    headers = [(b"host", b"h:1"), (b"content-type", b"application/x-www-form-urlencoded"), (b"x-a", b"1"), (b"x-a", b"2")]
    request = aml_request(Request("POST", "/scöre", b"q=%C3%BC&q=2", headers, b"k=v", {}))
    assert (request.method, request.path, request.args.getlist("q")) == ("POST", "/scöre", ["ü", "2"])
    assert (request.form["k"], request.headers["X-A"], request.host) == ("v", "1,2", "h:1")


def test_responses():
    reply = response_reply(AMLResponse("téxt", 201, {"X-A": "b"}))
    assert (reply.status, reply.body) == (201, "téxt".encode())
    assert dict(reply.headers) == {b"content-type": b"text/html; charset=utf-8", b"x-a": b"b"}
    reply = response_reply(AMLResponse({"a": 1}, 500))
    assert (reply.body, reply.run_failed) == (b'{"a": 1}', True)
    assert not is_response("text")
    assert is_response(AMLResponse(None, 204))


def test_rawhttp_marks_the_function():
    assert is_raw(rawhttp(lambda request: 1))
    assert not is_raw(lambda data: 1)

from __future__ import annotations

from lazward.execution.runtime.serve.messages import Request, message


def test_headers_are_found_by_lower_case_and_shown_as_people_write_them():
    request = Request("POST", "/", b"", [(b"content-type", b"a/b"), (b"x-many", b"1"), (b"x-many", b"2")], b"", {})
    assert request.header(b"x-many") == "1"
    assert request.header(b"none") is None
    assert request.header_dict() == {"Content-Type": "a/b", "X-Many": "1,2"}


def test_a_message_is_json():
    reply = message(400, "why", error="more")
    assert (reply.status, reply.content_type, reply.body) == (400, b"application/json", b'{"message": "why", "error": {"message": "more"}}')

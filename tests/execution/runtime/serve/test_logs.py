from __future__ import annotations

import os
import re

from lazward.execution.runtime.serve.logs import AccessLog


def test_a_request_is_one_line_whatever_its_path():
    reader, writer = os.pipe()
    AccessLog(writer)("GET", "/a\nforged\x1b[0m line ü", 404, 0.0015, 12)
    os.close(writer)
    with os.fdopen(reader) as file:
        text = file.read()
    assert re.fullmatch(r"\S+Z I \[\d+\] lazward\.serve - GET /a\\nforged\\x1b\[0m line \\xfc 404 1\.500ms 12\n", text)


def test_a_closed_log_does_not_fail_the_request():
    reader, writer = os.pipe()
    os.close(writer)
    os.close(reader)
    AccessLog(writer)("GET", "/", 200, 0.0, 0)

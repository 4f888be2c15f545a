from __future__ import annotations

from lazward.execution.runtime.serve import timelimit
from lazward.execution.runtime.serve.failures import short, traceback_text
from lazward.execution.runtime.serve.scoring import ScriptError


def broken():
    raise ValueError("why")


def test_the_traceback_begins_with_the_users_code():
    timelimit.prepare()
    try:
        timelimit.call(5, broken)
    except ValueError as error:
        text = traceback_text(error.with_traceback(error.__traceback__.tb_next))  # less the frame of this test
    assert "timelimit.py" not in text
    assert "in broken" in text
    assert text.endswith("ValueError: why")


def test_short_is_type_and_message():
    assert short(ValueError("why")) == "ValueError: why"
    assert short(ScriptError("no run()")) == "ScriptError: no run()"
    assert len(short(ValueError("x" * 10_000))) == 2000

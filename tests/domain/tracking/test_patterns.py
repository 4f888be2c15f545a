from __future__ import annotations

import time

from lazward.domain.tracking.patterns import fault, matches


def test_patterns():
    assert matches("^a.c$", "abc") and matches("b", "abc") and not matches("B", "abc") and matches("(?i)B", "abc")
    assert not matches(None, "a") and not matches("a", None) and not matches("(", "a")


def test_s19_no_pattern_takes_long():
    """Expressions over which engines that go back think for years."""
    began = time.process_time()
    for pattern in ("(a+)+$", "(a|aa)+$", "(a*)*b", "(.*)(.*)(.*)(.*)x"):
        assert not matches(pattern, "a" * 20_000 + "!")
    assert time.process_time() - began < 30  # not a speed: without RE2 it never ends


def test_what_is_none():
    for pattern in ("(", r"(a)\1", "(?=a)", "a{5000}", "(" * 500, "[z-a]"):
        assert fault(pattern), pattern
    assert fault("a+") is None

"""Decisions of the keeper that a real launch cannot be brought to make. Everything else: test_executor_contract, test_local."""

from __future__ import annotations

import sys

import pytest

from lazward.execution.runtime import keeper, memory
from lazward.execution.runtime.keeper import Keeper
from lazward.execution.runtime.order import Limits, Order, ProcessOrder


def make(processes: int = 1) -> Keeper:
    made = Keeper(Order(b"/x", b"tag", b"/", b"/", Limits(), 1.0, [ProcessOrder([b"a"], [], b"/log")] * processes), "/x")
    made.oom_before = 2
    return made


@pytest.mark.parametrize(
    ("code", "kills", "reason", "number", "words"),
    [
        (-9, 2, "signal", 9, "killed by signal 9 (SIGKILL), possibly because memory ran out"),
        (-9, 3, "memory", 9, "memory ran out"),
        (137, 3, "memory", 9, "memory ran out"),
        (137, 2, "exit", None, "exit code 137."),
        (-11, 3, "signal", 11, "SIGSEGV"),
        (1, 3, "exit", None, "The system killed a process meanwhile because memory ran out."),
        (1, 2, "exit", None, "exit code 1."),
        (-9, None, "signal", 9, "possibly"),
        (-40, 2, "signal", 40, "signal 40"),
    ],
)
def test_why_a_process_failed(monkeypatch: pytest.MonkeyPatch, code, kills, reason, number, words):
    monkeypatch.setattr(memory, "kernel_kills", lambda: kills)
    made = make()
    made.fail(0, code)
    assert (made.reason, made.signal, made.failed) == (reason, number, 0)
    assert words in made.message and made.message.endswith(".")
    assert made.code == (code if reason == "exit" else None)


def test_the_process_is_named_where_there_are_several():
    made = make(3)
    made.fail(2, 5)
    assert made.message == "Process 2 of 3 ended with exit code 5."


def test_children_that_the_system_reaped_for_us_are_lost(monkeypatch: pytest.MonkeyPatch):
    """As after an exec with SIGCHLD ignored."""

    def none(*_):
        raise ChildProcessError

    monkeypatch.setattr(keeper.os, "wait4", none)
    made = make()
    made.running = {123456: 0}
    assert made.reap() is False
    assert (made.reason, made.running) == ("lost", {})


def test_without_ctypes_there_is_no_subreaper(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "ctypes", None)
    assert keeper._become_subreaper() is False

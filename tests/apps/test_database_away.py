"""Every surface says in its own words that the database is away: 503 with Retry-After, so that its clients come again; 507 for a full disk."""

from __future__ import annotations

import errno

import pytest

from lazward.storage.db import DatabaseAway
from tests.control_plane import VERSION, Answer, Plane

SURFACES = ("arm", "mlflow", "history", "blob")


@pytest.fixture
def ask(plane: Plane, monkeypatch):
    """ask(surface, problem): the answer to a request of that surface while reading and writing raise the problem."""
    home = plane.workspace()
    paths = {
        "arm": ("GET", f"{home}/jobs?{VERSION}", None), "mlflow": ("POST", f"/mlflow/v1.0{home}/api/2.0/mlflow/experiments/create", {"name": "x"}),
        "history": ("GET", f"/history/v1.0{home}/runs/r", None), "blob": ("GET", "/lz0123abcdef.blob.core.windows.net/c/b", None),
    }

    def asking(surface: str, problem: Exception) -> Answer:
        async def away(*_, **__):
            raise problem

        with monkeypatch.context() as patch:
            patch.setattr(plane.db, "read", away)
            patch.setattr(plane.db, "write", away)
            method, path, body = paths[surface]
            return plane.send(method, path, body, headers={"x-ms-version": "2023-11-03"})

    return asking


@pytest.mark.parametrize("surface", SURFACES)
class TestSaysSo:
    def test_one_that_cannot_be_reached(self, ask, surface):
        answer = ask(surface, DatabaseAway("The database cannot be reached."))
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert b"cannot be reached" in answer.body and b"Nothing was changed" in answer.body

    def test_one_that_broke_in_the_commit(self, ask, surface):
        answer = ask(surface, DatabaseAway("The database cannot be reached.", maybe_done=True))
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert b"may have been made or not" in answer.body and b"Nothing was changed" not in answer.body

    def test_a_full_disk(self, ask, surface):
        for problem in (DatabaseAway("The disk of the database is full.", full=True), OSError(errno.ENOSPC, "No space left on device")):
            answer = ask(surface, problem)
            assert answer.status == 507 and b"is full" in answer.body
            assert "retry-after" not in answer.headers


def test_the_envelope_of_arm(ask):
    error = ask("arm", DatabaseAway("The database cannot be reached.")).error
    assert error["code"] == "ServiceUnavailable"
    assert ask("arm", DatabaseAway("Full.", full=True)).error["code"] == "InsufficientStorage"
    assert ask("arm", OSError(errno.EIO, "broken")).error["code"] == "InternalServerError"

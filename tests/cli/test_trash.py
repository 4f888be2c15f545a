"""The bin from the command line, against a server that runs and without one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bench.server import Server
from lazward.cli.main import run


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


@pytest.fixture
def mlflow(server: Server) -> Callable[..., Any]:
    client = server.client()

    def call(path: str, body: dict[str, Any]) -> Any:
        return client.post(f"/mlflow/plain{server.workspace}/api/2.0/mlflow/{path}", body)

    return call


@pytest.fixture
def trash(server: Server, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def call(*words: str, code: int = 0) -> str:
        done = run(["trash", *words, "--data-dir", str(server.data_dir)])
        shown = capsys.readouterr()
        assert done == code, shown
        return shown.out + shown.err

    return call


def make(mlflow: Callable[..., Any], count: int) -> list[str]:
    ids = [mlflow("runs/create", {"experiment_id": "0"})["run"]["info"]["run_id"] for _ in range(count)]
    for id_ in ids:
        mlflow("runs/delete", {"run_id": id_})
    return ids


def test_list_restore_empty(mlflow, trash):
    first, second, third = make(mlflow, 3)
    assert {i["id"] for i in json.loads(trash("list", "--json"))} == {first, second, third}
    assert "3 in the bin" in trash("list")
    assert "1 restored" in trash("restore", first)
    assert "1 runs, 0 experiments" in (said := trash("empty", second)) and "freed 0" in said
    assert "1 runs" in trash("empty", "--everything")
    assert json.loads(trash("list", "--json")) == []
    assert "nothing to remove" in trash("empty", "--older-than", "1")


def test_bad_words(mlflow, trash):
    (one,) = make(mlflow, 1)
    assert "Which ones?" in trash("restore", code=2)
    assert "nothing is not in the bin" in trash("restore", "nothing", code=1)
    assert "nothing is not in the bin" in trash("empty", one, "nothing", code=1)
    assert "Say what is to go" in trash("empty", code=2)
    assert "Say what is to go" in trash("empty", one, "--everything", code=2)
    assert "no workspace named" in trash("list", "--workspace", "other", code=1)
    assert one in trash("list")


def test_without_a_server_the_room_is_freed_later(server, mlflow, trash):
    (one,) = make(mlflow, 1)
    server.down()
    assert "the room is freed when it does" in trash("empty", one)
    assert one not in trash("list")
    server.up()

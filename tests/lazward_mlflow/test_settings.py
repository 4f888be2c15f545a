from __future__ import annotations

import os

import pytest

from lazward_mlflow.settings import Settings, default_folder, wanted


@pytest.mark.parametrize(("environ", "on"), [
    ({}, False), ({"LAZWARD_SPOOL": "on"}, True), ({"LAZWARD_SPOOL": "1"}, True), ({"LAZWARD_SPOOL": "off", "LAZWARD_OFFLINE": "1"}, False),
    ({"LAZWARD_OFFLINE": "1"}, True), ({"LAZWARD_OFFLINE": "0"}, False), ({"LAZWARD_SPOOL": ""}, False), ({"LAZWARD_SPOOL": " ON "}, True),
])
def test_wanted(environ, on):
    assert wanted(environ) is on


def test_a_value_that_cannot_be_read_is_told_and_does_no_harm(capsys):
    found = Settings({"LAZWARD_SPOOL_TIMEOUT": "soon", "LAZWARD_SPOOL_WAIT": "-1", "LAZWARD_HEARTBEAT": "nan", "LAZWARD_SPOOL_EXIT_WAIT": "1e99"})
    assert (found.timeout, found.wait, found.heartbeat, found.exit_wait) == (10, 300, 30, 30)
    said = capsys.readouterr().err
    assert said.count("is not a number of seconds") == 4 and "LAZWARD_SPOOL_TIMEOUT='soon'" in said
    assert wanted({"LAZWARD_SPOOL": "perhaps"}) and "neither on nor off" in capsys.readouterr().err


def test_the_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_folder({}) == f"{tmp_path}/.lazward-spool"
    assert default_folder({"LAZWARD_SPOOL_DIR": "~/x"}) == f"{tmp_path}/x"
    monkeypatch.chdir(tmp_path)
    assert default_folder({"LAZWARD_SPOOL_DIR": "here"}) == os.path.join(tmp_path, "here")

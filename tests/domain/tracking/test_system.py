from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazward.domain.tracking import names, system
from lazward.domain.tracking.system import (
    INTERVAL,
    NODE,
    SWITCH,
    TAG,
    Sample,
    interval_of,
    logs_its_own,
    metrics_of,
    parse,
    prefix_of,
)

LINE = {"at": 1_700_000_000_000, "step": 3, "cpu_utilization_percentage": 12.5, "job_processes": 2, "rank_0/job_cpu_cores": 0.5}


class TestInterval:
    @pytest.mark.parametrize(("facts", "env", "setting", "expected"), [
        ({}, {}, 10.0, 10.0),
        ({}, {}, 0.05, 0.05),
        ({}, {}, 0.0, None),
        ({}, {SWITCH: "true"}, 0.0, None),
        ({}, {SWITCH: "true"}, 10.0, 10.0),
        ({}, {SWITCH: "False"}, 10.0, None),
        ({}, {SWITCH: "0"}, 10.0, None),
        ({"tags": {TAG: "false"}}, {}, 10.0, None),
        ({"tags": {TAG: "true"}}, {}, 10.0, 10.0),
        ({"tags": None}, {}, 10.0, 10.0),
        ({}, {INTERVAL: "2.5"}, 10.0, 2.5),
        ({}, {INTERVAL: "60"}, 10.0, 60.0),
        ({}, {INTERVAL: "0.001"}, 10.0, 1.0),
        ({}, {INTERVAL: "nan"}, 10.0, 10.0),
        ({}, {INTERVAL: "-1"}, 10.0, 10.0),
        ({}, {INTERVAL: "often"}, 10.0, 10.0),
        ({}, {INTERVAL: ""}, 10.0, 10.0),
        ({}, {INTERVAL: "2"}, 0.0, None),
    ])
    def test_what_the_job_and_the_server_say(self, facts: dict, env: dict, setting: float, expected: float | None):
        assert interval_of(facts, env, setting) == expected


@pytest.mark.parametrize(("said", "own"), [("true", True), ("True", True), ("1", True), (True, True), ("false", False), (None, False), ("yes", False)])
def test_a_job_may_log_its_own(said: object, own: bool):
    assert logs_its_own({"environmentVariables": {SWITCH: said}}) is own
    assert not logs_its_own({"environmentVariables": None})


@pytest.mark.parametrize(("node", "prefix"), [
    ("n-1", "system/n-1/"), ("", "system/"), (None, "system/"), ("..", "system/"), ("a/b", "system/"), ("a b", "system/"),
])
def test_a_node_has_its_own_prefix(node: str | None, prefix: str):
    assert prefix_of({"environmentVariables": {NODE: node}}) == prefix


class TestParse:
    def test_a_line(self):
        found = parse(json.dumps(LINE).encode())
        assert found == Sample(LINE["at"], 3, {"cpu_utilization_percentage": 12.5, "job_processes": 2.0, "rank_0/job_cpu_cores": 0.5})

    @pytest.mark.parametrize("change", [
        {"at": -1}, {"at": 1.5}, {"at": 2**63}, {"at": None}, {"step": "1"}, {"step": -1}, {"step": True}, {"cpu": "1"}, {"cpu": None}, {"../x": 1}, {"a/b/c": 1},
        {"A": 1}, {"": 1}, {"a" * 61: 1}, {"cpu": 1e308},
    ])
    def test_what_is_none(self, change: dict):
        assert parse(json.dumps(LINE | change).encode()) is None

    @pytest.mark.parametrize("line", [b"", b"[]", b"{", b"1", b'{"at": 1}', b'{"at": 1, "step": 0, "x": NaN}', b'{"at": 1, "step": 0, "x": 1e999}', b"\xff", b"[" * 100_000])
    def test_no_object(self, line: bytes):
        assert parse(line) is None

    @given(st.binary(max_size=200))
    def test_whatever_is_there_is_no_fault(self, line: bytes):
        parse(line)


def test_every_metric_is_one_that_mlflow_takes():
    found = metrics_of([parse(json.dumps(LINE).encode())], "system/", False)
    assert {(m.key, m.at, m.step, m.value) for m in found} == {
        ("system/cpu_utilization_percentage", LINE["at"], 3, 12.5), ("system/job_processes", LINE["at"], 3, 2.0), ("system/rank_0/job_cpu_cores", LINE["at"], 3, 0.5),
    }
    assert all(names.check_key(m.key) for m in found)


def test_beside_mlflows_own_only_what_is_about_the_job():
    found = metrics_of([parse(json.dumps(LINE).encode())], "system/n/", True)
    assert [m.key for m in found] == ["system/n/job_processes", "system/n/rank_0/job_cpu_cores"]
    assert not system.is_own("disk_usage_megabytes")

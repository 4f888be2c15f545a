from __future__ import annotations

from lazward.domain.comparison import jobs
from lazward.domain.comparison.jobs import differences, inputs_of, packages_of, settings_of

LOCK = """# Python 3.11.7, environment 0123
# a comment
numpy==1.26.4 \\
    --hash=sha256:aa \\
    --hash=sha256:bb
Scikit_Learn[extra]==1.4 ; python_version > "3" --hash=sha256:cc
local @ file:///x/local.whl
-e .
"""


def test_only_what_differs_is_told_by_its_path():
    left = {"command": "echo", "resources": {"instanceCount": 1, "properties": {"cores": "1"}}, "environmentVariables": {"A": "1", "B": "2"}, "searchSpace": {"lr": ["uniform", [0, 1]]}}
    right = {"command": "echo", "resources": {"instanceCount": 1, "properties": {"cores": "2"}}, "environmentVariables": {"A": "1"}, "searchSpace": {"lr": ["uniform", [0, 2]]}, "limits": {"timeout": "PT1H"}}
    assert differences(left, right) == [
        {"name": "environmentVariables.B", "left": "2", "right": None},
        {"name": "limits.timeout", "left": None, "right": "PT1H"},
        {"name": "resources.properties.cores", "left": "1", "right": "2"},
        {"name": "searchSpace.lr", "left": '["uniform", [0, 1]]', "right": '["uniform", [0, 2]]'},
    ]
    assert differences(left, left) == []


def test_nothing_is_as_good_as_empty():
    assert differences({"a": None, "b": {}, "c": []}, {}) == []


def test_it_is_bounded():
    deep: dict = {"x": "y"}
    for _ in range(100):
        deep = {"d": deep}
    assert len(differences(deep, {})) == 1
    assert len(differences({str(i): "x" for i in range(2000)}, {})) == jobs.MAX_DIFFERENCES
    assert len(differences({"a": "x" * 5000}, {})[0]["left"]) == jobs.MAX_VALUE


def test_what_a_job_is_and_what_only_its_run_is():
    facts = {"jobType": "Command", "command": "echo", "codeId": "/c", "status": "Failed", "displayName": "d", "trial": {"codeId": "/c", "command": "ls"}, "resources": {}}
    assert settings_of(facts) == {"jobType": "Command", "command": "echo", "trial": {"codeId": "/c", "command": "ls"}}
    assert [one["name"] for one in differences(settings_of(facts), {})] == ["command", "jobType", "trial.command"]


def test_inputs():
    assert inputs_of({"inputs": {"lr": {"jobInputType": "literal", "value": 0.1}, "d": {"jobInputType": "uri_folder", "uri": "azureml:d:1"}}}) == {"lr": "0.1", "d": "azureml:d:1"}
    assert inputs_of({}) == {}


def test_packages_of_a_lock():
    assert packages_of(LOCK) == {"python": "3.11.7", "numpy": "1.26.4", "scikit-learn": "1.4", "local": "file:///x/local.whl"}

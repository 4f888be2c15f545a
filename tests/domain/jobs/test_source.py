from __future__ import annotations

import pytest

from lazward.domain.jobs import source
from lazward.domain.jobs.source import (
    end_tags,
    git_of,
    inherited,
    name_of,
    source_tags,
)

SDK = {  # as azure-ai-ml sends them
    "mlflow.source.git.repoURL": "https://me:secret@example.org/team/code.git", "mlflow.source.git.branch": "main", "mlflow.source.git.commit": "c0ffee",
    "azureml.git.dirty": "True", "azureml.git.build_id": "7",
}


class TestGit:
    def test_as_the_sdk_says_it(self):
        assert git_of(SDK) == {
            "mlflow.source.git.commit": "c0ffee", "mlflow.source.git.branch": "main", "mlflow.source.git.dirty": "true",
            "mlflow.source.git.repoURL": "https://example.org/team/code.git",
        }

    def test_as_older_clients_say_it(self):
        assert git_of({"azureml.git.commit": "c0ffee", "azureml.git.repository_uri": "git@example.org:team/code.git"}) == {
            "mlflow.source.git.commit": "c0ffee", "mlflow.source.git.repoURL": "git@example.org:team/code.git",
        }

    def test_nothing_said_is_nothing(self):
        assert git_of({"other": "x", "mlflow.source.git.commit": "", "azureml.git.dirty": None}) == {}

    def test_children_whose_code_came_with_the_parent_have_its_git(self):
        parent = {"properties": SDK}
        assert inherited({}, parent)["mlflow.source.git.commit"] == "c0ffee"
        assert inherited({"componentId": "/x/components/azureml_anonymous/versions/1"}, parent)["mlflow.source.git.commit"] == "c0ffee"
        assert inherited({"componentId": "/x/components/train/versions/1"}, parent) == {}
        assert inherited({"properties": {"mlflow.source.git.commit": "mine"}}, parent) == {}
        assert inherited({}, {}) == {}


@pytest.mark.parametrize(("facts", "name"), [
    ({"command": "python src/train.py --lr ${{inputs.lr}}"}, "src/train.py"),
    ({"command": "cd x && bash run.sh"}, "run.sh"),
    ({"command": "'my program' --flag"}, "my program"),
    ({"command": "echo 'unclosed"}, "echo"),
    ({"trial": {"command": "python sweep.py"}}, "sweep.py"),
    ({"jobType": "Pipeline"}, "pipeline"),
    ({"command": "x" * 1000}, "x" * 250),
])
def test_what_a_job_runs(facts: dict, name: str):
    assert name_of(facts) == name


def test_tags_of_a_run():
    assert source_tags({"command": "python a.py", "codeId": "/c/1", "properties": SDK | {"lazward.relaunchedFrom": "before"}}) == {
        "mlflow.source.type": "JOB", "mlflow.source.name": "a.py", "lazward.code": "/c/1", "lazward.relaunchedFrom": "before", **git_of(SDK),
    }
    assert source_tags({"jobType": "Sweep", "trial": {"codeId": "/c/2"}})[source.CODE] == "/c/2"
    assert source.CODE not in source_tags({"jobType": "Pipeline"})


class TestEnd:
    def test_a_failed_job_says_why(self):
        facts = {"status": "Failed", "error": {"code": "OutOfMemory", "message": "too much"}, "exit": {"reason": "memory"}}
        assert end_tags(facts) == {"lazward.error": "OutOfMemory: too much", "lazward.endReason": "memory"}

    @pytest.mark.parametrize("status", ["Completed", "Canceled"])
    def test_others_do_not(self, status: str):
        assert end_tags({"status": status, "error": {"code": "x", "message": "y"}, "exit": {"reason": "exit"}}) == {}

    def test_one_without_a_word_is_still_failed(self):
        assert end_tags({"status": "Failed"}) == {"lazward.error": "Failed: The job failed."}

    def test_a_long_error_is_cut(self):
        assert len(end_tags({"status": "Failed", "error": {"code": "A", "message": "x" * 10_000}})["lazward.error"]) == 4000

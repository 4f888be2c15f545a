from __future__ import annotations

import pytest

from lazward.contract.mlflow import MlflowError
from lazward.domain.genai import prompts
from lazward.domain.resource import REGISTRY


@pytest.mark.parametrize(("tags", "expected"), [({}, False), ({"mlflow.prompt.is_prompt": "TRUE"}, True), ({"mlflow.prompt.is_prompt": "false"}, False), ({"mlflow.prompt.text": "a"}, False)])
def test_what_is_a_prompt(tags, expected):
    assert prompts.is_prompt(tags) is expected


def test_no_arm_path_leads_to_them():
    assert not [key for key in REGISTRY if "prompts" in key]


@pytest.mark.parametrize("source", ["", "runs:/r/m", "Dummy-source", "/etc/passwd"])
def test_a_prompt_has_no_source(source):
    prompts.check_source("dummy-source")
    prompts.check_source("prompt-template")
    with pytest.raises(MlflowError):
        prompts.check_source(source)


def test_what_it_is_stays():
    prompt = {"mlflow.prompt.is_prompt": "true"}
    prompts.check_stays(prompt, "mlflow.prompt.is_prompt", "True")
    prompts.check_stays(prompt, "other", None)
    for tags, value in ((prompt, None), (prompt, "false"), ({}, "true")):
        with pytest.raises(MlflowError):
            prompts.check_stays(tags, "mlflow.prompt.is_prompt", value)

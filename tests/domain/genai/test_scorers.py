from __future__ import annotations

import json

import pytest

from lazward.contract.mlflow import MlflowError
from lazward.domain.genai import scorers

JUDGE = {"name": "j", "instructions_judge_pydantic_data": {"instructions": "ok?", "model": "openai:/gpt"}, "call_source": None}


def test_what_is_stored_is_what_was_sent():
    text = json.dumps(JUDGE, indent=3)
    assert scorers.check_serialized(text) == text


@pytest.mark.parametrize("text", [
    "", "{", "[]", "1", json.dumps({"call_source": "import os"}), json.dumps({**JUDGE, "ensemble_scorer_data": {"scorers": [{"call_source": ""}]}}),
    json.dumps({"instructions_judge_pydantic_data": {"model": " "}}), json.dumps({"third_party_scorer_data": {"model": 5}}), '{"a":' * 200 + "1" + "}" * 200,
])
def test_s1_what_is_not_taken(text):
    """Code least of all: it would run where somebody loads the scorer."""
    with pytest.raises(MlflowError) as caught:
        scorers.check_serialized(text)
    assert caught.value.target == "serialized_scorer"


@pytest.mark.parametrize(("scorer", "model"), [
    (JUDGE, "openai:/gpt"), ({"builtin_scorer_pydantic_data": {"model": "m"}}, "m"), ({"memory_augmented_judge_data": {"base_judge": JUDGE}}, "openai:/gpt"),
    ({"third_party_scorer_data": {"model": "t"}}, "t"), ({}, None), ({"memory_augmented_judge_data": {"base_judge": 1}}, None), ({"builtin_scorer_pydantic_data": 1}, None),
])
def test_models(scorer, model):
    assert scorers.model_of(scorer) == model


def test_only_what_a_gateway_could_ask_may_sample():
    scorers.check_may_sample("j", json.dumps({"builtin_scorer_pydantic_data": {"model": "gateway:/x"}}))
    for other in (JUDGE, {}):
        with pytest.raises(MlflowError, match="gateway"):
            scorers.check_may_sample("j", json.dumps(other))


@pytest.mark.parametrize(("given", "rate"), [(0, 0.0), (1, 1.0), ("0.5", 0.5)])
def test_sample_rates(given, rate):
    assert scorers.check_sample_rate(given) == rate


@pytest.mark.parametrize("given", [None, -0.1, 1.1, "x", True, [], float("nan"), float("inf"), 10**400])
def test_rates_that_are_none(given):
    with pytest.raises(MlflowError):
        scorers.check_sample_rate(given)


@pytest.mark.parametrize("name", ["", "  ", "x" * 257])
def test_names(name):
    assert scorers.check_name("Is it fine?")
    with pytest.raises(MlflowError):
        scorers.check_name(name)

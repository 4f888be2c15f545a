"""With MLflow's own validation as the oracle."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.exceptions import MlflowException
from mlflow.genai.label_schemas import validation
from mlflow.genai.label_schemas.label_schemas import InputCategorical, InputNumeric, InputPassFail, InputText

from lazward.contract.mlflow import MlflowError
from lazward.domain.genai import label_schemas as rules

labels = st.text(max_size=3) | st.text("x", min_size=60, max_size=70)
numbers = st.none() | st.integers(-5, 5).map(float)


def agree(given, oracle):
    try:
        validation._validate_input(oracle)
    except MlflowException:
        with pytest.raises(MlflowError) as caught:
            rules.check_input(given)
        assert caught.value.target.startswith("input")
        return
    assert rules.check_input(given) == {kind: {k: v for k, v in facts.items() if v is not None} for kind, facts in given.items()}


@given(labels, labels)
def test_pass_or_fail(good, bad):
    agree({"pass_fail": {"positive_label": good, "negative_label": bad}}, InputPassFail(good, bad))


@given(st.lists(labels, max_size=12), st.booleans())
def test_categories(options, several):
    agree({"categorical": {"options": options, "multi_select": several}}, InputCategorical(options, multi_select=several))


@given(numbers, numbers)
def test_numbers(low, high):
    agree({"numeric": {"min_value": low, "max_value": high}}, InputNumeric(low, high))


@given(st.none() | st.integers(-3, 10**6))
def test_texts(most):
    agree({"text": {"max_length": most}}, InputText(most))


@pytest.mark.parametrize("given", [None, [], "text", {}, {"other": {}}, {"text": {}, "numeric": {}}, {"text": []}, {"numeric": {"min_value": "x"}}, {"numeric": {"max_value": "NaN"}}, {"text": {"max_length": 1.5}}, {"categorical": {"options": ["a"], "multi_select": "yes"}}])
def test_what_is_no_input(given):
    with pytest.raises(MlflowError):
        rules.check_input(given)


@given(st.text(max_size=5) | st.sampled_from(["Feedback", " feedback ", "x" * 250, "x" * 251]))
def test_names(name):
    try:
        validation._validate_name(name)
        validation._validate_not_reserved_name(name)
    except MlflowException:
        with pytest.raises(MlflowError):
            rules.check_name(name)
        return
    assert rules.check_name(name) == name


def test_the_form_stays():
    one, several = ({"categorical": {"options": ["a"], "multi_select": many}} for many in (False, True))
    rules.check_same_form(one, {"categorical": {"options": ["b"], "multi_select": False}})
    for other in (several, {"text": {}}):
        with pytest.raises(MlflowError):
            rules.check_same_form(one, other)


def test_instructions():
    assert rules.check_instruction("x" * 1000)
    with pytest.raises(MlflowError):
        rules.check_instruction("x" * 1001)

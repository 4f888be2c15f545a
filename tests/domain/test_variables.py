from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazward.contract.errors import ArmError
from lazward.domain.variables import MAX_VALUE, check_variables


def check(variables) -> None:
    check_variables({"environmentVariables": variables})


@pytest.mark.parametrize("name", ["", "1a", "a b", "a=b", "a-b", "é", "a\0", "a\n"])
def test_a_name_that_no_shell_knows_is_named(name: str):
    with pytest.raises(ArmError) as caught:
        check({"GOOD": "x", name: "x"})
    assert (caught.value.status, caught.value.target) == (400, f"properties.environmentVariables.{name}")


@pytest.mark.parametrize("value", ["a\0b", "x" * (MAX_VALUE + 1), ["a"], {"a": 1}])
def test_a_value_that_no_process_could_be_given_is_refused_without_repeating_it(value):
    with pytest.raises(ArmError) as caught:
        check({"SECRET": value})
    assert caught.value.target == "properties.environmentVariables.SECRET"
    assert len(caught.value.message) < 200


@pytest.mark.parametrize("properties", [{}, {"environmentVariables": None}, {"environmentVariables": {"A": 1, "_b": True, "C3": None, "D": 1.5}}])
def test_what_is_taken(properties):
    check_variables(properties)


@given(st.dictionaries(st.text(max_size=8), st.text(max_size=20), max_size=3))
def test_what_is_taken_can_be_set(variables: dict[str, str]):
    try:
        check(variables)
    except ArmError:
        return
    for name, value in variables.items():
        assert "=" not in name and "\0" not in name + value and name


def test_the_longest_value_reaches_a_process():
    value = "ü" * (MAX_VALUE // 2)  # two bytes each
    check({"LONG": value})
    done = subprocess.run([sys.executable, "-c", "import os; print(len(os.environ['LONG']))"], env={"LONG": value, "PYTHONUTF8": "1"}, capture_output=True, text=True)
    assert done.stdout.strip() == str(len(value)), done.stderr

import pytest

from lazward.contract.mlflow import MlflowError
from lazward.domain.genai.enums import read_enum

NAMES = ("FIRST", "SECOND")


@pytest.mark.parametrize(("given", "found"), [("FIRST", "FIRST"), ("second", "SECOND"), (1, "FIRST"), ("2", "SECOND")])
def test_by_name_or_number(given, found):
    assert read_enum(given, "x", NAMES) == found


@pytest.mark.parametrize("given", [None, "", "THIRD", 0, 3, -1, True, 1.0, [], "1" * 20, "²"])
def test_anything_else(given):
    with pytest.raises(MlflowError) as caught:
        read_enum(given, "the.field", NAMES)
    assert caught.value.target == "the.field"

from __future__ import annotations

from lazward.domain.registries import registries_in


def test_names_wherever_they_are():
    value = {"a": "azureml://registries/One/models/m", "b": [{"c": " AZUREML://Registries//two/x"}, "see azureml://registries/three"], "azureml://registries/four": 1, "d": "azureml://registries/azureml/x"}
    assert registries_in(value) == {"one", "two"}

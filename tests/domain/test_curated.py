"""Curated names."""

from __future__ import annotations

import pytest
from packaging.requirements import Requirement

from lazward.domain.curated import all_curated, curated, family_packages, python_in_name


def names(packages: tuple[str, ...]) -> set[str]:
    return {Requirement(p).name for p in packages}


class TestCurated:
    @pytest.mark.parametrize(
        "form",
        [
            "sklearn-1.5",
            "SKLEARN-1.5",
            "AzureML-sklearn-1.5",
            "azureml-sklearn-1.5",
            "azureml:AzureML-sklearn-1.5@latest",
            "azureml:AzureML-sklearn-1.5:9",
            "azureml://registries/azureml/environments/sklearn-1.5/labels/latest",
            "azureml://registries/azureml/environments/sklearn-1.5/versions/33",
            "azureml://registries/azureml/environments/sklearn-1.5",
            "mcr.microsoft.com/azureml/curated/sklearn-1.5",
            "mcr.microsoft.com/azureml/curated/sklearn-1.5:latest",
            "docker://mcr.microsoft.com/azureml/curated/sklearn-1.5:33",
        ],
    )
    def test_every_form_of_a_name_means_the_same(self, form: str) -> None:
        environment = curated(form)
        assert environment is not None
        assert environment.name == "sklearn-1.5"
        assert environment.packages.python == "3.10"
        assert environment.image == f"mcr.microsoft.com/azureml/curated/sklearn-1.5:{environment.version}"

    def test_sklearn_15_is_what_the_examples_need(self) -> None:
        packages = curated("sklearn-1.5").packages.soft  # type: ignore[union-attr]
        assert {"scikit-learn", "pandas", "numpy", "scipy", "matplotlib", "joblib", "mlflow-skinny", "azureml-mlflow"} <= names(packages)
        pandas = next(Requirement(p) for p in packages if p.startswith("pandas"))
        assert "1.5.3" in pandas.specifier
        assert "2.0.0" not in pandas.specifier  # DataFrame.append, gone in pandas 2

    @pytest.mark.parametrize(
        ("name", "python", "first"),
        [
            ("AzureML-sklearn-1.0-ubuntu20.04-py38-cpu", "3.8", "scikit-learn==1.0.*"),
            ("AzureML-sklearn-0.24-ubuntu18.04-py37-cpu", "3.7", "scikit-learn==0.24.*"),
            ("sklearn-1.9-ubuntu26.04-py313-cpu", "3.13", "scikit-learn==1.9.*"),
            ("lightgbm-3.3", "3.10", "lightgbm>=3.3"),
            ("acpt-pytorch-2.2-cuda12.1", "3.10", "torch==2.2.*"),
            ("AzureML-ACPT-pytorch-1.12-py39-cuda11.6-gpu", "3.9", "torch==1.12.*"),
            ("tensorflow-2.12-cuda11", "3.10", "tensorflow==2.12.*"),
            ("tensorflow-2.99-cuda15", "", "tensorflow==2.99.*"),
            ("xgboost-0.9-ubuntu18.04-py37-cpu-inference", "3.7", "xgboost==0.9.*"),
            ("responsibleai-ubuntu20.04-py38-cpu", "3.8", "responsibleai==0.36.*"),
            ("ai-ml-automl", "3.10", "scikit-learn>=1.2,<1.6"),
            ("acft-medimageparse-finetune", "", "torch"),
            ("minimal-py313-inference", "3.13", "azureml-inference-server-http"),
        ],
    )
    def test_names_of_known_families_resolve(self, name: str, python: str, first: str) -> None:
        environment = curated(name)
        assert environment is not None
        assert environment.packages.python == python
        assert environment.packages.soft[0] == first

    @pytest.mark.parametrize("name", ["", "no-such-thing", "my-env:1", "azureml:my-env:1", "a/b/c", "python:3.10"])
    def test_other_names_do_not(self, name: str) -> None:
        assert curated(name) is None


class TestAllCurated:
    def test_lists_complete_distinct_environments_that_resolve_to_themselves(self) -> None:
        environments = all_curated()
        assert len({e.name for e in environments}) == len(environments)
        for environment in environments:
            assert curated(environment.name) == environment
            assert environment.version.isdigit()
            assert environment.description
            assert environment.packages.notes
            assert environment.packages.soft
            assert len(names(environment.packages.soft)) == len(environment.packages.soft), environment.name


class TestNames:
    @pytest.mark.parametrize(("name", "python"), [("a-py38-cpu", "3.8"), ("py312-x", "3.12"), ("x-py3.9-y", "3.9"), ("pyspark-3", "")])
    def test_python_in_name(self, name: str, python: str) -> None:
        assert python_in_name(name) == python

    @pytest.mark.parametrize(("name", "first"), [("cu126-py310-torch280", "torch==2.8.*"), ("py38-torch1131", "torch==1.13.*")])
    def test_run_together_versions(self, name: str, first: str) -> None:
        packages = family_packages(name)
        assert packages is not None
        assert packages[0] == first

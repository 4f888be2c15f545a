"""Image names as Python environments."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lazward.domain.environments import EnvironmentSpec, PackageSet, translate
from lazward.domain.images import image_packages


class TestPlainImages:
    @pytest.mark.parametrize(
        ("image", "python"),
        [
            ("library/python:latest", ""),
            ("python", ""),
            ("python:3", ""),
            ("python:3.10-slim", "3.10"),
            ("python:3.8.13", "3.8.13"),
            ("docker.io/python:3.10", "3.10"),
            ("docker.io/library/python:3.9-bookworm", "3.9"),
            ("mcr.microsoft.com/devcontainers/python:1-3.12", "3.12"),
            ("mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu20.04", ""),
            ("mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu20.04:20230620.v1", ""),
            ("continuumio/miniconda3:latest", ""),
            ("ubuntu:22.04", ""),
            ("myregistry.example.org:5000/team/app:7", ""),
            ("python@sha256:0000", ""),
        ],
    )
    def test_gives_a_python_without_packages_and_says_so(self, image: str, python: str) -> None:
        packages = image_packages(image)
        assert packages.python == python
        assert (packages.requirements, packages.soft) == ((), ())
        assert image in packages.notes[0]


class TestFrameworkImages:
    @pytest.mark.parametrize(
        ("image", "python", "first"),
        [
            ("pytorch/pytorch:2.1.0-cuda12.1-cudnn8-runtime", "", "torch==2.1.*"),
            ("docker.io/pytorch/pytorch", "", "torch"),
            ("tensorflow/tensorflow:2.16.1-gpu", "", "tensorflow==2.16.*"),
            ("nvcr.io/nvidia/pytorch:22.02-py3", "", "torch"),
            ("nvcr.io/nvidia/tensorflow:22.02-tf2-py3", "", "tensorflow"),
            ("mcr.microsoft.com/aifx/acpt/stable-ubuntu2004-cu117-py38-torch1131:biweekly.202301.2", "3.8", "torch==1.13.*"),
            ("mcr.microsoft.com/azureml/curated/sklearn-1.5:33", "3.10", "scikit-learn==1.5.*"),
            ("mcr.microsoft.com/azureml/minimal-py312-inference:latest", "3.12", "azureml-inference-server-http"),
            ("mcr.microsoft.com/azureml/mlflow-ubuntu18.04-py37-cpu-inference:20220110.v1", "3.7", "mlflow"),
            ("mcr.microsoft.com/azureml/promptflow/promptflow-runtime:latest", "", "promptflow"),
            ("azureml:AzureML-sklearn-1.0-ubuntu20.04-py38-cpu@latest", "3.8", "scikit-learn==1.0.*"),
        ],
    )
    def test_brings_its_framework_as_soft_packages(self, image: str, python: str, first: str) -> None:
        packages = translate(EnvironmentSpec(image=image))
        assert packages.python == python
        assert packages.requirements == ()
        assert packages.soft[0] == first

    @given(st.text(max_size=60))
    def test_never_fails(self, image: str) -> None:
        assert isinstance(image_packages(image), PackageSet)

"""Container image names as Python environments: which Python and which packages code in that image finds."""

from __future__ import annotations

import re

from lazward.domain.curated import curated, family_packages, python_in_name
from lazward.domain.package_set import PackageSet

_CONDA = re.compile(r"^(continuumio/|conda/|condaforge/|mambaorg/|anaconda/)")
_OTHER_LANGUAGES = re.compile(r"(^|/)(r-base|r-ver|tidyverse|rocker|rstudio|julia|openjdk|jdk|node|golang|rust|dotnet|mono)([/:-]|$)|^rocker/")
_SERVERS = re.compile(r"(^|/)(tritonserver|serving|torchserve|plumber)([:-]|$)")


def image_packages(image: str) -> PackageSet:
    """Never fails: an unknown image is a plain Python, and the note says so."""
    name, tag = _split(image.strip())
    by_reference = curated(image) if image.lower().startswith(("azureml:", "azureml-")) else None
    if by_reference:
        return by_reference.packages
    if name.startswith("mcr.microsoft.com/"):
        return _microsoft(name.removeprefix("mcr.microsoft.com/"), tag, image)
    short = re.sub(r"^(docker\.io/|index\.docker\.io/|nvcr\.io/|ghcr\.io/|quay\.io/)?(library/)?", "", name)
    if short == "python" or short.endswith("/python"):
        return _plain(image, _python_tag(tag))
    if short == "pypy":
        return _plain(image, "", "CPython is used")
    if short in ("pytorch/pytorch", "nvidia/pytorch", "tensorflow/tensorflow", "nvidia/tensorflow"):
        return _framework(image, short.rsplit("/", 1)[-1], tag)
    if _CONDA.match(short):
        return _plain(image, "")
    if _OTHER_LANGUAGES.search(short) or _SERVERS.search(short):
        return _plain(image, "", "its programs are there only if this machine has them")
    packages = family_packages(short.rsplit("/", 1)[-1])
    if packages:
        return PackageSet(python_in_name(short), soft=packages, notes=(_note(image),))
    return _plain(image, python_in_name(f"{short}-{tag}"))


def _split(image: str) -> tuple[str, str]:
    """("registry/name", "tag"); a digest counts as no tag."""
    image = re.sub(r"^docker://", "", image).split("@", 1)[0]
    head, colon, tag = image.rpartition(":")
    if not colon or "/" in tag:
        return image.lower(), ""
    return head.lower(), tag.lower()


def _microsoft(name: str, tag: str, image: str) -> PackageSet:
    if name.startswith("azureml/promptflow/"):
        return PackageSet(soft=("promptflow", "promptflow-tools"), notes=(_note(image),))
    last = name.rsplit("/", 1)[-1]
    if name.startswith("azureml/curated/") or (name.startswith("azureml/") and last.endswith("-inference")):
        found = curated(last)
        if found:
            return found.packages
    if name.startswith("aifx/acpt/"):
        packages = family_packages(last)
        if packages:
            return PackageSet(python_in_name(last), soft=packages, notes=(_note(image),))
    if name.startswith(("devcontainers/python", "vscode/devcontainers/python")):
        return _plain(image, _python_tag(tag))
    return _plain(image, python_in_name(last))


def _framework(image: str, family: str, tag: str) -> PackageSet:
    version = re.match(r"(\d+)\.(\d+)", tag)
    python = re.search(r"(?:^|-)py3\.?(\d{1,2})(?:-|$)", tag)
    packages: tuple[str, ...] = ("torch", "torchvision", "numpy") if family == "pytorch" else ("tensorflow", "tensorboard", "numpy")
    if version and not image.startswith("nvcr.io"):  # whose tags are year.month
        packages = family_packages(f"{family}-{version.group()}") or packages
    return PackageSet(f"3.{python.group(1)}" if python else "", soft=packages, notes=(_note(image),))


def _python_tag(tag: str) -> str:
    """"3.10-slim-bookworm" -> "3.10", "3.8.13" -> "3.8.13", "3", "latest", "slim" -> ""."""
    found = re.match(r"(?:\d+-)?(3\.\d+(?:\.\d+)?)(?:[-a-z]|$)", tag)
    return found.group(1) if found else ""


def _plain(image: str, python: str, more: str = "") -> PackageSet:
    return PackageSet(python, notes=(_note(image) + (f"; {more}" if more else ""),))


def _note(image: str) -> str:
    return f"image {image} is taken as a Python environment; its system packages are not installed"

"""Prompts: to MLflow registered models with a mark, here resources of a type of their own, so that they are no models to ARM.

The types are not in the REGISTRY: no ARM path leads to them. MLflow's registry writes them through the same engine (apps/ports.py).
"""

from __future__ import annotations

from typing import Any

import msgspec

from lazward.contract.mlflow import invalid
from lazward.domain.resource import Doc, ResourceType, WriteContext
from lazward.domain.resources.assets import fill_container

IS_PROMPT = "mlflow.prompt.is_prompt"
TEXT = "mlflow.prompt.text"
KIND = "_mlflow_prompt_type"
SOURCES = ("dummy-source", "prompt-template")  # what clients send, since a version must have a source and a prompt has none


class Prompt(msgspec.Struct, rename="camel"):
    """labels: MLflow's tags. They hold the text itself, for which the limits of ARM's tags are too narrow."""

    description: str | None = None
    labels: dict[str, str] | None = None
    properties: dict[str, Any] | None = None
    is_archived: bool | None = None


class PromptVersion(msgspec.Struct, rename="camel"):
    description: str | None = None
    labels: dict[str, str] | None = None
    properties: dict[str, Any] | None = None
    stage: str | None = None
    job_name: str | None = None
    is_archived: bool | None = None


def _fill_version(new: Doc, old: Doc | None, ctx: WriteContext) -> None:
    for name in ("labels", "properties"):
        new["properties"].setdefault(name, {})


PROMPTS = ResourceType("workspaces/prompts", Prompt, archivable=True, before_write=fill_container)
PROMPT_VERSIONS = ResourceType("workspaces/prompts/versions", PromptVersion, versions=True, archivable=True, before_write=_fill_version)


def is_prompt(tags: dict[str, str]) -> bool:
    return tags.get(IS_PROMPT, "").lower() == "true"


def check_source(source: str) -> None:
    if source not in SOURCES:
        raise invalid(f"Invalid prompt source: '{source[:300]}'. A prompt has no source; clients send one of {', '.join(SOURCES)}.", "source")


def check_stays(tags: dict[str, str], key: str, value: str | None) -> None:
    """A model does not become a prompt by a tag, nor a prompt a model. value: None when the tag is to go."""
    if key == IS_PROMPT and (value or "").lower() != tags.get(IS_PROMPT, "").lower():
        raise invalid(f"The tag '{IS_PROMPT}' says what a registered name is, and is given when it is made.", "key")

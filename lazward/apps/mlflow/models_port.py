"""The models of a workspace as the registry calls need them; ARM's documents stand behind it (apps/model_registry.py)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec

from lazward.contract.caller import Caller


class RegisteredModel(msgspec.Struct):
    """A model container, or a prompt (by its tags: domain/genai/prompts.py). Times are unix seconds."""

    name: str
    description: str
    tags: dict[str, str]
    properties: dict[str, str]
    created: float
    updated: float


class ModelVersion(msgspec.Struct):
    """uri: azureml:// or web URI of the files (ARM's modelUri), "" for a prompt's. type: mlflow_model | custom_model | triton_model."""

    name: str
    version: str
    uri: str
    type: str
    description: str
    tags: dict[str, str]
    properties: dict[str, str]
    stage: str
    created: float
    updated: float
    job_name: str = ""


class ModelRegistryPort(Protocol):
    """The workspace's models. `workspace` is its key. Archived ones are not seen. Implemented in apps/model_registry.py."""

    async def models(self, workspace: str) -> list[RegisteredModel]: ...

    async def model(self, workspace: str, name: str) -> RegisteredModel | None: ...

    async def create_model(self, workspace: str, name: str, description: str, tags: dict[str, str], caller: Caller) -> RegisteredModel | None:
        """None when there is one of that name."""
        ...

    async def update_model(self, workspace: str, name: str, change: Callable[[RegisteredModel], None], caller: Caller) -> RegisteredModel | None:
        """Applies `change` to description, tags and properties in one transaction; None when it is not there. May run twice."""
        ...

    async def rename_model(self, workspace: str, name: str, new_name: str, caller: Caller) -> RegisteredModel | None:
        """With all its versions, in one transaction; None when it is not there. ArmError 409 naming who uses it, RESOURCE_ALREADY_EXISTS."""
        ...

    async def delete_model(self, workspace: str, name: str) -> bool:
        """With all its versions."""
        ...

    async def versions(self, workspace: str, *names: str) -> list[ModelVersion]:
        """Of the models with these names; oldest first."""
        ...

    async def version(self, workspace: str, name: str, version: str) -> ModelVersion | None: ...

    async def create_version(self, workspace: str, draft: ModelVersion, caller: Caller) -> ModelVersion | None:
        """Under the next free number (draft.version is ""); None when there is no such model."""
        ...

    async def update_version(self, workspace: str, name: str, version: str, change: Callable[[ModelVersion], None], caller: Caller) -> ModelVersion | None:
        """Applies `change` to description, tags, properties and stage."""
        ...

    async def delete_version(self, workspace: str, name: str, version: str) -> bool: ...

    async def place(self, workspace: str, name: str, version: str) -> tuple[str, str, str] | None:
        """(account, container, path) of a version's files; None when it is not there. ArmError when they are on the web."""
        ...

"""Datastores and connections: where data lies, and the secrets to reach it."""

from __future__ import annotations

from typing import Any

import msgspec

from lazward.contract.errors import bad_request
from lazward.domain.resource import Doc, WriteContext, resource

SECRET_MEMBERS = ("key", "sasToken", "clientSecret", "certificate", "keytab", "password")
DATASTORE_TYPES = ("AzureBlob", "AzureDataLakeGen1", "AzureDataLakeGen2", "AzureFile", "Hdfs", "OneLake")


class Datastore(msgspec.Struct, rename="camel"):
    datastore_type: str
    account_name: str | None = None
    container_name: str | None = None
    filesystem: str | None = None
    file_share_name: str | None = None
    endpoint: str | None = None
    protocol: str | None = None
    credentials: dict[str, Any] | None = None
    description: str | None = None
    is_default: bool | None = None


def fill_datastore(new: Doc, old: Doc | None, ctx: WriteContext) -> None:
    """Checks the type's required members and takes the secrets out of what is given back."""
    properties = new["properties"]
    kind = properties["datastoreType"]
    if kind not in DATASTORE_TYPES:
        raise bad_request(f"datastoreType is one of {', '.join(DATASTORE_TYPES)}, not '{str(kind)[:40]}'.", "properties.datastoreType")
    required = {"AzureBlob": ("accountName", "containerName"), "AzureDataLakeGen2": ("accountName", "filesystem"), "AzureFile": ("accountName", "fileShareName")}
    for name in required.get(kind, ()):
        if not properties.get(name):
            raise bad_request(f"The member '{name}' is required for a datastore of type {kind}.", f"properties.{name}")
    credentials = properties["credentials"] = properties.get("credentials") or {}
    credentials["credentialsType"] = credentials.get("credentialsType") or "None"
    if not isinstance(credentials["credentialsType"], str):
        raise bad_request("credentialsType is a text such as AccountKey, Sas, ServicePrincipal or None.", "properties.credentials.credentialsType")
    secrets = credentials.get("secrets")
    if secrets is not None and not isinstance(secrets, dict):
        raise bad_request("The secrets of a datastore are an object.", "properties.credentials.secrets")
    loose = {name: credentials.pop(name) for name in SECRET_MEMBERS if credentials.get(name) is not None}
    if loose:  # written beside `secrets` instead of in it: they are secrets all the same
        credentials["secrets"] = {**loose, **(secrets or {})}
    properties["isDefault"] = bool((old or {}).get("properties", {}).get("isDefault") if old else properties.get("isDefault"))
    properties.setdefault("serviceDataAccessAuthIdentity", "None")
    properties.setdefault("protocol", "https")
    properties.setdefault("endpoint", "core.windows.net")
    properties.setdefault("tags", {})
    properties.setdefault("description", None)


def is_default(doc: Doc, value: str) -> bool:
    return value.lower() != "true" or bool(doc["properties"].get("isDefault"))


def one_of(doc: Doc, value: str) -> bool:
    return doc["name"].lower() in [name.strip().lower() for name in value.split(",")]


def named_like(doc: Doc, value: str) -> bool:
    return value.lower() in doc["name"].lower()


DATASTORES = resource(
    "workspaces/datastores", Datastore, before_write=fill_datastore, matches={"isDefault": is_default, "names": one_of, "searchText": named_like},
    actions=frozenset({"listSecrets"}),
)


class Connection(msgspec.Struct, rename="camel"):
    category: str
    auth_type: str
    target: str | None = None
    credentials: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    is_shared_to_all: bool | None = None


def fill_connection(new: Doc, old: Doc | None, ctx: WriteContext) -> None:
    properties = new["properties"]
    properties.setdefault("isSharedToAll", False)
    properties.setdefault("metadata", {})
    properties.setdefault("target", "")
    properties.setdefault("group", "AzureAI")


def of_category(doc: Doc, value: str) -> bool:
    return str(doc["properties"].get("category", "")).lower() == value.lower()


def of_target(doc: Doc, value: str) -> bool:
    return str(doc["properties"].get("target", "")).lower() == value.lower()


CONNECTIONS = resource(
    "workspaces/connections", Connection, created=200, updated=200, patchable=True, before_write=fill_connection,
    matches={"category": of_category, "target": of_target}, actions=frozenset({"listsecrets"}),
)

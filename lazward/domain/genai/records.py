"""Records of an evaluation dataset: what a client sends becomes a document, and meets the one with equal inputs."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from lazward.contract.json_body import deeper
from lazward.contract.mlflow import invalid
from lazward.domain.tracking.names import MAX_VALUE, USER, check_key

Doc = dict[str, Any]

SOURCES = ("UNSPECIFIED", "TRACE", "HUMAN", "DOCUMENT", "CODE")
SCHEMA_VERSION = "1.0"
MAX_DEPTH = 100  # nested objects and lists


def parse_json(text: str, path: str) -> Any:
    """JSON inside a JSON string, as these calls send it. NaN and infinities are taken, for Python's writers make them.
    INVALID_PARAMETER_VALUE for anything else."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise invalid(f"Invalid value for parameter '{path}' supplied: it must be JSON text ({str(error)[:200]}).", path) from None
    if deeper(value, MAX_DEPTH):
        raise invalid(f"Invalid value for parameter '{path}' supplied: objects and lists are nested more than {MAX_DEPTH} deep.", path)
    return value


def parse_records(text: str, path: str = "records") -> list[Doc]:
    """[{inputs, outputs?, expectations?, tags?, source?}, ...], each checked."""
    found = parse_json(text, path)
    if not isinstance(found, list):
        raise invalid(f"Invalid value for parameter '{path}' supplied: it must be a list of records.", path)
    for index, record in enumerate(found):
        _check(record, f"{path}[{index}]")
    return found


def _check(record: Any, path: str) -> None:
    if not isinstance(record, dict):
        raise invalid(f"Invalid value for parameter '{path}' supplied: each record must be an object.", path)
    if record.get("inputs") is None:
        record["inputs"] = {}
    for member in ("inputs", "expectations", "tags", "source"):
        if record.get(member) is not None and not isinstance(record[member], dict):
            raise invalid(f"Invalid value for parameter '{path}.{member}' supplied: it must be an object.", f"{path}.{member}")
    if source := record.get("source"):
        kind = source.get("source_type")
        if not isinstance(kind, str) or kind.upper() not in SOURCES:
            raise invalid(f"Invalid dataset record source type: {str(kind)[:60]}. Valid source types: {list(SOURCES)}", f"{path}.source.source_type")
        if not isinstance(source.get("source_data") or {}, dict):
            raise invalid(f"Invalid value for parameter '{path}.source.source_data' supplied: it must be an object.", f"{path}.source.source_data")


def input_hash(record: Doc) -> str:
    """Records with the same one are the same record."""
    return hashlib.sha256(json.dumps(record["inputs"], sort_keys=True).encode()).hexdigest()


def fresh(record: Doc) -> Doc:
    """The document of a record that is new."""
    made: Doc = {"inputs": record["inputs"], "outputs": record.get("outputs", {}), "expectations": record.get("expectations"), "tags": record.get("tags") or {}}
    if source := record.get("source"):
        kind, data = source["source_type"].upper(), source.get("source_data") or {}
        made["source"] = {"source_type": kind, "source_data": data}
        found = data.get("trace_id" if kind == "TRACE" else "source_id")
        if found is not None:
            made["source_id"] = str(found)
    made["created_by"] = made["updated_by"] = user_of(record)
    return made


def merged(old: Doc, record: Doc) -> Doc:
    """outputs are replaced where there are any, expectations and tags added; where it came from and who made it stay."""
    made = dict(old)
    if "outputs" in record:
        made["outputs"] = record["outputs"]
    if record.get("expectations"):
        made["expectations"] = {**(old.get("expectations") or {}), **record["expectations"]}
    if record.get("tags"):
        made["tags"] = {**old["tags"], **record["tags"]}
    made["updated_by"] = user_of(record) or old.get("updated_by")
    return made


def user_of(record: Doc) -> str | None:
    found = (record.get("tags") or {}).get(USER)
    return found if isinstance(found, str) and storable(found) else None


def storable(text: str) -> bool:
    """Whether a text column of PostgreSQL takes it: no NUL, no half of a surrogate pair."""
    return "\0" not in text and not any("\ud800" <= c <= "\udfff" for c in text)


def parse_tags(text: str, path: str = "tags") -> dict[str, str]:
    """{key: value, ...} as JSON text; those without a value are passed over."""
    found = parse_json(text, path)
    if not isinstance(found, dict):
        raise invalid(f"Invalid value for parameter '{path}' supplied: it must be an object of strings.", path)
    tags = {check_key(key, path): str(value) for key, value in found.items() if value is not None}
    for key, value in tags.items():
        if not storable(value) or len(value) > MAX_VALUE:
            raise invalid(f"Invalid value for parameter '{path}.{key}' supplied: it holds a NUL or half a character, or is longer than {MAX_VALUE} characters.", path)
    return tags


def widened(schema: str | None, records: list[Doc]) -> str | None:
    """The dataset's schema (JSON text) with the fields of more records; a field keeps the type it was first seen with."""
    if not records and not schema:
        return schema
    found: Doc = json.loads(schema) if schema else {"inputs": {}, "outputs": {}, "expectations": {}, "version": SCHEMA_VERSION}
    for record in records:
        for member in ("inputs", "outputs", "expectations"):
            value = record.get(member)
            if isinstance(value, dict) and isinstance(found[member], dict):
                for key, inner in value.items():
                    found[member].setdefault(key, type_name(inner))
            elif value is not None and not found[member]:
                found[member] = type_name(value)
    return json.dumps(found)


def type_name(value: Any) -> str:
    if value is None:
        return "null"
    for kinds, name in ((bool, "boolean"), (int, "integer"), (float, "float"), (str, "string"), (list, "array")):
        if isinstance(value, kinds):
            return name
    return "object"


def profile(count: int) -> str | None:
    return json.dumps({"num_records": count} if count else None)


def digest(name: str, at: float) -> str:
    """Another one whenever the dataset has changed. at: unix seconds of the change."""
    return hashlib.sha256(f"{name}:{round(at * 1000)}".encode()).hexdigest()[:8]

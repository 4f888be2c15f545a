"""Names, keys, values and limits of tracking data, checked as MLflow's server does; errors name the field."""

from __future__ import annotations

import json
import math
import posixpath
import re
from typing import Any

import msgspec

from lazward.contract.mlflow import invalid

MAX_KEY = 250
MAX_EXPERIMENT_NAME = 500
# MLflow cuts params at 6,000 and tags at 8,000 characters. Nothing is cut here: longer ones are kept whole up to a megabyte.
MAX_VALUE = 1_000_000
MAX_METRICS, MAX_PARAMS, MAX_TAGS, MAX_ENTITIES = 1000, 100, 100, 1000
MAX_DATASETS = 1000
DATASET_LIMITS = {"name": 500, "digest": 36, "source": 65_535, "schema": 1_048_575, "profile": 16_777_215}
INT64 = 2**63

DEFAULT_EXPERIMENT, DEFAULT_NAME = "0", "Default"
RUN_NAME, PARENT, NOTE, USER = "mlflow.runName", "mlflow.parentRunId", "mlflow.note.content", "mlflow.user"
LOST = "lazward.failedReason"  # why a run that nobody ended is FAILED: its process is gone
DATASET_CONTEXT, MODEL_HISTORY = "mlflow.data.context", "mlflow.log-model.history"

_KEY = re.compile(r"[/\w.\- :]*")
_RUN_ID = re.compile(r"[a-zA-Z0-9][\w\-.]{0,255}", re.ASCII)
_OWN_ID = {
    "run": re.compile(r"[0-9a-f]{32}"), "experiment": re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "model": re.compile(r"m-[0-9a-f]{32}"),
}
_OWN_FORM = {"run": "32 hexadecimal digits", "experiment": "a guid in lower case", "model": "m- and 32 hexadecimal digits"}
_LOCATION = re.compile(r"(?:s3|gs|wasbs|abfss|hdfs|dbfs|oci|b2)://[^\s?#\\%]+")


class Metric(msgspec.Struct, frozen=True):
    """One value of a metric. at: milliseconds. value is 0 when nan. model, dataset, digest: "" unless it is a logged model's."""

    key: str
    at: int
    step: int
    value: float
    nan: bool = False
    model: str = ""
    dataset: str = ""
    digest: str = ""

    @property
    def rank(self) -> tuple[int, int, float]:
        """What decides which value is the latest."""
        return self.step, self.at, self.value


class PlainMetric(msgspec.Struct, forbid_unknown_fields=True):
    """A metric as nearly all are sent. What has other members, or writes its numbers as text, does not decode as this and goes the long
    way, through check_metric."""

    key: str
    value: float
    timestamp: int
    step: int = 0


class PlainBatch(msgspec.Struct, forbid_unknown_fields=True):
    run_id: str
    metrics: list[PlainMetric]
    params: list[Any] = []
    tags: list[Any] = []


class PlainLogged(PlainMetric):
    """One metric with its run."""

    run_id: str = ""
    run_uuid: str = ""


def plain_metric(m: PlainMetric, path: str = "") -> Metric:
    """check_metric, for what decoded as plain."""
    if not (0 <= m.timestamp < INT64 and -INT64 <= m.step < INT64):
        return check_metric(msgspec.to_builtins(m), path)  # which says what is wrong with it
    return Metric(m.key, m.timestamp, m.step, m.value)


def plain_metrics(items: list[PlainMetric]) -> list[Metric]:
    """check_metrics, for what decoded as plain."""
    known: set[str] = set()
    out: list[Metric] = []
    for index, m in enumerate(items):
        if m.key not in known:
            known.add(check_key(m.key, f"metrics[{index}].key"))
        out.append(plain_metric(m, f"metrics[{index}]"))
    return out


def check_key(name: Any, path: str = "key") -> str:
    """A metric, param or tag key: a path-like name that stays what it is when taken for a file name."""
    if not isinstance(name, str) or not name:
        raise invalid(f"Missing value for required parameter '{path}'.", path)
    if len(name) > MAX_KEY:
        raise invalid(f"'{path}' exceeds the maximum length of {MAX_KEY} characters", path)
    if not _KEY.fullmatch(name):
        raise invalid(
            f"Invalid value {json.dumps(name)} for parameter '{path}' supplied: Names may only contain alphanumerics, underscores (_), dashes (-), "
            "periods (.), spaces ( ), colon(:) and slashes (/).", path,
        )
    normal = posixpath.normpath(name)
    if normal != name or normal == "." or normal.startswith(("..", "/")):
        raise invalid(
            f"Invalid value {json.dumps(name)} for parameter '{path}' supplied: Names may be treated as files in certain cases, and must not resolve to "
            f"other names when treated as such. This name would resolve to {normal!r}", path,
        )
    return name


def is_key(name: str) -> bool:
    """Whether anything can have been stored under this key."""
    return bool(name) and len(name) <= MAX_KEY and _KEY.fullmatch(name) is not None


def check_value(value: Any, path: str = "value") -> str:
    """A param's or tag's value; absent is "" as in MLflow's protobufs."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise invalid(f"Invalid value {str(value)[:60]!r} for parameter '{path}' supplied: it must be a string.", path)
    if len(value) > MAX_VALUE:
        raise invalid(f"'{path}' exceeds the maximum length of {MAX_VALUE} characters", path)
    return value


def check_metric(raw: Any, path: str = "") -> Metric:
    """A metric as clients send it: {key, value, timestamp, step?, model_id?, dataset_name?, dataset_digest?}."""
    if not isinstance(raw, dict):
        raise invalid(f"Invalid value for parameter '{path or 'metric'}' supplied: it must be an object.", path)
    prefix = f"{path}." if path else ""
    key = check_key(raw.get("key"), f"{prefix}key")
    value = number(raw.get("value"), f"{prefix}value")
    at = integer(raw.get("timestamp"), f"{prefix}timestamp")
    if at < 0:
        raise invalid(f"Invalid value {at} for parameter '{prefix}timestamp' supplied: Timestamp must be a nonnegative long (64-bit integer).", f"{prefix}timestamp")
    step = integer(raw.get("step") or 0, f"{prefix}step")
    nan = math.isnan(value)
    return Metric(
        key, at, step, 0.0 if nan else value, nan, *(check_value(raw.get(name), prefix + name) for name in ("model_id", "dataset_name", "dataset_digest")),
    )


def check_metrics(items: list[Any]) -> list[Metric]:
    """A batch. Plain ones, by far the most, are told by their types at once; the rest, and all faults, go through check_metric."""
    out: list[Metric] = []
    known: set[str] = set()
    for index, item in enumerate(items):
        if type(item) is dict and "model_id" not in item:
            key, value, at, step = item.get("key"), item.get("value"), item.get("timestamp"), item.get("step", 0)
            if type(value) is float and type(at) is int and type(step) is int and 0 <= at < INT64 and -INT64 <= step < INT64 and type(key) is str:
                if key not in known:
                    known.add(check_key(key, f"metrics[{index}].key"))
                out.append(Metric(key, at, step, value))
                continue
        out.append(check_metric(item, f"metrics[{index}]"))
    return out


def number(value: Any, path: str) -> float:
    """A double as protobuf's JSON writes it: a number, its text, "NaN", "Infinity" or "-Infinity"."""
    if value is None or value == "":
        raise invalid(f"Missing value for required parameter '{path}'.", path)
    if isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:
            return float(value)
        except (ValueError, OverflowError):
            pass
    raise invalid(f"Invalid value {str(value)[:60]!r} for parameter '{path}' supplied: Please specify value as a valid double (64-bit floating point)", path)


def integer(value: Any, path: str) -> int:
    """An int64 as protobuf's JSON writes it: a number or its text."""
    if value is None or value == "":
        raise invalid(f"Missing value for required parameter '{path}'.", path)
    found: int | None = None
    if isinstance(value, int) and not isinstance(value, bool):
        found = value
    elif isinstance(value, float) and value.is_integer():
        found = int(value)
    elif isinstance(value, str) and re.fullmatch(r"[+-]?[0-9]{1,20}", value):
        found = int(value)
    if found is None or not -INT64 <= found < INT64:
        raise invalid(f"Invalid value {str(value)[:60]!r} for parameter '{path}' supplied: it must be a 64-bit integer.", path)
    return found


def check_batch(metrics: list[Any], params: list[Any], tags: list[Any]) -> None:
    for what, items, limit in (("metrics", metrics, MAX_METRICS), ("params", params, MAX_PARAMS), ("tags", tags, MAX_TAGS)):
        _check_count(what, len(items), limit)
    _check_count("metrics, params, and tags", len(metrics) + len(params) + len(tags), MAX_ENTITIES)


def _check_count(what: str, count: int, limit: int) -> None:
    if count > limit:
        raise invalid(
            f"A batch logging request can contain at most {limit} {what}. Got {count} {what}. Please split up {what} across multiple requests and try again.",
            what,
        )


def pairs(items: list[Any], path: str) -> list[tuple[str, str]]:
    """[{key, value}, ...] checked, in order."""
    out = []
    for index, item in enumerate(items):
        where = f"{path}[{index}]"
        if not isinstance(item, dict):
            raise invalid(f"Invalid value for parameter '{where}' supplied: it must be an object.", where)
        out.append((check_key(item.get("key"), f"{where}.key"), check_value(item.get("value"), f"{where}.value")))
    return out


def check_unique_params(params: list[tuple[str, str]]) -> None:
    seen: set[str] = set()
    twice = [key for key, _ in params if key in seen or seen.add(key)]
    if twice:
        raise invalid(f"Duplicate parameter keys have been submitted: {twice}. Please ensure the request contains only one param value per param key.", "params")


def check_experiment_name(name: Any, path: str = "name") -> str:
    if not isinstance(name, str) or not name.strip():
        raise invalid(f"Invalid experiment name: {name!r}", path)
    if len(name) > MAX_EXPERIMENT_NAME:
        raise invalid(f"'{path}' exceeds the maximum length of {MAX_EXPERIMENT_NAME} characters", path)
    return name


def check_location(location: str, path: str = "artifact_location") -> str | None:
    """Where artifacts of an experiment lie when not in the workspace: an object store the clients reach themselves.
    Never a path of this server (S2)."""
    if not location:
        return None
    if not _LOCATION.fullmatch(location) or any(piece in (".", "..") for piece in location.split("/")):
        raise invalid(
            f"Invalid artifact location '{location[:200]}': leave it out to keep artifacts in the workspace, or give the URI of an object store "
            "(s3, gs, wasbs, abfss, ...) without query, fragment, '%' or '..'.", path,
        )
    return location.rstrip("/")


def check_run_id(run_id: Any, path: str = "run_id") -> str:
    if not isinstance(run_id, str) or not run_id:
        raise invalid(f"Missing value for required parameter '{path}'.", path)
    if not _RUN_ID.fullmatch(run_id):
        raise invalid(f"Invalid value {json.dumps(run_id[:200])} for parameter '{path}' supplied.", path)
    return run_id


def is_run_id(run_id: str) -> bool:
    return _RUN_ID.fullmatch(run_id) is not None


def check_own_id(own: str, kind: str) -> str | None:
    """The id that a client has chosen for what it makes (member `lazward_id`), so that it can say the same thing again after an answer
    that never came. kind: run | experiment | model. None for "", when the server is to choose."""
    if own and not _OWN_ID[kind].fullmatch(own):
        raise invalid(f"Invalid value {json.dumps(own[:100])} for parameter 'lazward_id' supplied: it must be {_OWN_FORM[kind]}.", "lazward_id")
    return own or None


def check_model_name(name: str | None, path: str = "name") -> str | None:
    """A logged model's name (not a registered one's)."""
    if name is None:
        return None
    if not name or len(name) > 500 or any(c in name for c in "/:.%\"'"):
        raise invalid(f"Invalid model name ({name[:200]!r}) provided. Model name must be a non-empty string and cannot contain the characters / : . % \" '.", path)
    return name


def check_dataset(raw: Any, path: str) -> dict[str, Any]:
    """{name, digest, source_type, source, schema?, profile?}; the first four are required."""
    if not isinstance(raw, dict):
        raise invalid(f"Missing value for required parameter '{path}'.", path)
    for name in ("name", "digest", "source_type", "source"):
        if not raw.get(name):
            raise invalid(f"Dataset {name} cannot be None", f"{path}.{name}")
    out = {name: raw.get(name) for name in ("name", "digest", "source_type", "source", "schema", "profile")}
    for name, value in out.items():
        if value is not None and not isinstance(value, str):
            raise invalid(f"Invalid value for parameter '{path}.{name}' supplied: it must be a string.", f"{path}.{name}")
        if value is not None and len(value) > DATASET_LIMITS.get(name, MAX_KEY):
            raise invalid(f"'{path}.{name}' exceeds the maximum length of {DATASET_LIMITS.get(name, MAX_KEY)} characters", f"{path}.{name}")
    return out

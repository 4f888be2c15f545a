"""Scorers: JSON that clients turn into judges. To the server they are data; it looks at them only to refuse what it must not hand on."""

from __future__ import annotations

import math
from typing import Any

from lazward.contract.mlflow import invalid
from lazward.domain.genai.records import parse_json

MAX_NAME = 256
CODE = "call_source"  # of a function under @scorer: clients run it when they load the scorer
_GATEWAY = "gateway:/"


def check_name(name: str) -> str:
    if not name.strip() or len(name) > MAX_NAME:
        raise invalid(f"A scorer's name has 1 to {MAX_NAME} characters, not only blanks.", "name")
    return name


def check_serialized(text: str, path: str = "serialized_scorer") -> str:
    """The text as it is. INVALID_PARAMETER_VALUE when it is no JSON object, or carries code, at whatever depth."""
    found = parse_json(text, path)
    if not isinstance(found, dict):
        raise invalid(f"Invalid value for parameter '{path}' supplied: it must be a JSON object.", path)
    if _has_code(found):
        raise invalid(
            f"'{path}' holds the source of a function (@scorer), which would run on the machine of whoever loads the scorer. Keep such scorers in a repository and "
            "import them; judges with instructions and built-in scorers can be registered.", path,
        )
    model = model_of(found)
    if model is not None and (not isinstance(model, str) or not model.strip()):
        raise invalid("The model of a scorer is a text that is not blank.", path)
    return text


def _has_code(value: Any) -> bool:
    """The depth is known to be small."""
    if isinstance(value, dict):
        return value.get(CODE) is not None or any(_has_code(inner) for inner in value.values())
    return isinstance(value, list) and any(_has_code(inner) for inner in value)


def model_of(scorer: dict[str, Any]) -> Any:
    """The model a judge asks, as its URI; None when it has none."""
    for member in ("instructions_judge_pydantic_data", "builtin_scorer_pydantic_data"):
        if isinstance(scorer.get(member), dict) and scorer[member]:
            return scorer[member].get("model")
    inner = scorer.get("memory_augmented_judge_data")
    if isinstance(inner, dict) and inner:
        return model_of(inner["base_judge"]) if isinstance(inner.get("base_judge"), dict) else None
    other = scorer.get("third_party_scorer_data")
    return other.get("model") if isinstance(other, dict) else None


def check_sample_rate(value: Any) -> float:
    try:
        rate = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        rate = math.nan
    if not 0.0 <= rate <= 1.0:
        raise invalid(f"sample_rate must be between 0.0 and 1.0, got {str(value)[:60]}", "sample_rate")
    return rate


def check_may_sample(name: str, serialized: str) -> None:
    """Raises unless a server with a gateway could ask the scorer's model by itself."""
    model = model_of(parse_json(serialized, "serialized_scorer"))
    if not isinstance(model, str) or not model.startswith(_GATEWAY):
        raise invalid(
            f"Scorer '{name[:200]}' does not use a gateway model. Automatic evaluation is only supported for scorers that use gateway models.", "sample_rate",
        )

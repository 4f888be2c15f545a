"""How often a job whose command fails is begun again: `resources.properties.max_retries` and `retry_on`.

Azure has no such setting for a command (a parallel job's `retry_settings` are about its mini-batches). Its clients hand on
resources.properties as they are, from the SDK, from YAML and from the nodes of a pipeline, so that is where a job says it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lazward.contract.errors import bad_request
from lazward.domain.resource import Doc

# domain.ports.EndReason, less "canceled", and what may go wrong before the launch.
REASONS = ("exit", "signal", "memory", "timeout", "processes", "log", "disk", "space", "lost", "launch", "environment", "inputs")
RETRIED = ("exit", "signal", "memory", "lost")  # unless retry_on says otherwise: a limit of time that is not enough once is not enough twice
MAX_RETRIES = 100
MAX_PAUSE_S = 60.0
MEMBER = "properties.resources.properties"


@dataclass(frozen=True)
class Policy:
    retries: int
    reasons: tuple[str, ...]

    def again(self, reason: str | None, failures: int) -> bool:
        """Whether an attempt that failed for that reason is followed by another. failures: those before it that were."""
        return reason in self.reasons and failures < self.retries


def policy_of(properties: Doc) -> Policy:
    """Raises ArmError 400 naming the member."""
    asked = (properties.get("resources") or {}).get("properties") or {}
    return Policy(_count(asked.get("max_retries")), _reasons(asked.get("retry_on")))


def check(properties: Doc) -> None:
    policy_of(properties)


def pause_s(failures: int) -> float:
    """Seconds before the attempt after that many failures: 1, 2, 4, ... up to a minute."""
    return min(MAX_PAUSE_S, 2.0 ** min(failures - 1, 10))


def _count(given: Any) -> int:
    if given is None or given == "":
        return 0
    try:
        count = int(given) if not isinstance(given, bool) and float(given) == int(float(given)) else -1
    except (TypeError, ValueError, OverflowError):
        count = -1
    if not 0 <= count <= MAX_RETRIES:
        raise bad_request(f"max_retries is a whole number between 0 and {MAX_RETRIES}, not '{str(given)[:40]}'.", f"{MEMBER}.max_retries", "InvalidResources")
    return count


def _reasons(given: Any) -> tuple[str, ...]:
    if given is None or given == "":
        return RETRIED
    words = given.split(",") if isinstance(given, str) else given if isinstance(given, list) else [given]
    found = tuple(str(word).strip().lower() for word in words)
    for word in found:
        if word not in REASONS:
            raise bad_request(f"retry_on names reasons of {', '.join(REASONS)}, not '{word[:40]}'.", f"{MEMBER}.retry_on", "InvalidResources")
    return found

"""The priority that a job asks for: `queueSettings`, as Azure's clients send it.

Their SDK writes {"jobTier": "Premium", "priority": 3}; a sweep in a pipeline comes with the words ("premium", "high"), and REST clients
may write those too. All of them are kept in the SDK's form, so that it can read them back.
"""

from __future__ import annotations

from typing import Any

from lazward.contract.errors import bad_request
from lazward.domain.resource import Doc

TIERS = ("Spot", "Basic", "Standard", "Premium")
PRIORITIES = ("Low", "Medium", "High")  # 1, 2, 3 on the wire
DEFAULT_TIER, DEFAULT_PRIORITY = "Standard", 2
RANKS = len(TIERS) * len(PRIORITIES)
MEMBER = "properties.queueSettings"


def check(properties: Doc) -> None:
    """Raises ArmError 400 naming the member that is no tier or priority."""
    normal(properties.get("queueSettings"))


def normal(settings: Any) -> Doc | None:
    """{jobTier, priority} in the SDK's form, as far as they are given; None for nothing. Raises ArmError 400."""
    if settings is None:
        return None
    if not isinstance(settings, dict):
        raise bad_request("queueSettings is an object with jobTier and priority.", MEMBER)
    out = {k: v for k, v in settings.items() if k not in ("jobTier", "priority")}
    if (tier := _tier(settings.get("jobTier"))) is not None:
        out["jobTier"] = tier
    if (priority := _priority(settings.get("priority"))) is not None:
        out["priority"] = priority
    return out


def _tier(given: Any) -> str | None:
    if given is None or given == "" or str(given).lower() == "null":
        return None
    for name in TIERS:
        if isinstance(given, str) and given.lower() == name.lower():
            return name
    raise bad_request(f"jobTier is one of {', '.join(TIERS)}, not '{str(given)[:40]}'.", f"{MEMBER}.jobTier")


def _priority(given: Any) -> int | None:
    if given is None or given == "":
        return None
    for number, name in enumerate(PRIORITIES, 1):
        if not isinstance(given, bool) and str(given).lower() in (str(number), name.lower()):
            return number
    raise bad_request(f"priority is one of {', '.join(PRIORITIES)} (or 1, 2, 3), not '{str(given)[:40]}'.", f"{MEMBER}.priority")


def inherited(own: Any, parent: Any) -> Doc | None:
    """The settings of a job below another: its own, each member that it does not say from its parent."""
    mine, above = normal(own), normal(parent)
    return mine if above is None else {**above, **(mine or {})}


def rank_of(properties: Doc) -> int:
    """0 (a Spot job of low priority) to RANKS - 1: tiers first, in a tier the priority. Raises ArmError 400."""
    settings = normal(properties.get("queueSettings")) or {}
    tier, priority = settings.get("jobTier", DEFAULT_TIER), settings.get("priority", DEFAULT_PRIORITY)
    return TIERS.index(tier) * len(PRIORITIES) + priority - 1

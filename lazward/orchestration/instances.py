"""The instances of a deployment's generation, as its document keeps them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from lazward.execution.serving import Service


class Instance(msgspec.Struct):
    """One model server of a generation: `launch` is its name with the executor, `restarts` makes a new one each time."""

    index: int
    service: Service
    restarts: int = 0


def instances_of(facts: dict[str, Any]) -> list[Instance]:
    """The instances written into a deployment's document; its paths are texts there."""
    return [msgspec.convert(i, Instance, dec_hook=lambda kind, value: Path(value) if kind is Path else value) for i in facts.get("instances") or []]

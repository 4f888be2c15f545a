from __future__ import annotations

from typing import Any

from lazward.contract.errors import not_implemented


def from_node(node: dict[str, Any]) -> dict[str, Any]:
    raise not_implemented("Sweep steps")

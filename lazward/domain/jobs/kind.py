"""What makes a kind of job: its checks, what may not change, what is filled in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lazward.contract.errors import ArmError
from lazward.domain.resource import Doc

Check = Callable[[Doc], None]


def _nothing(properties: Doc) -> None:
    pass


@dataclass(frozen=True)
class JobKind:
    """checks: each takes the properties and raises ArmError (one fault, or several as its details). fixed: members of properties that
    must be the same when the job is put again. fill: sets the defaults of this kind in place, after the checks."""

    checks: tuple[Check, ...]
    fixed: tuple[str, ...]
    fill: Callable[[Doc], None] = _nothing

    def problems(self, properties: Doc) -> list[ArmError]:
        """All that is wrong with a submission, as far as it can be told without the database."""
        found: list[ArmError] = []
        for check in self.checks:
            try:
                check(properties)
            except ArmError as error:
                found += error.details or [error]
        return found

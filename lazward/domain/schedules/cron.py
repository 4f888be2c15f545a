"""Cron expressions of five fields, as Azure's schedules take them (NCronTab): minute, hour, day of month, month, day of week.

Where both days are given, both must fit (NCronTab's rule; classic cron's is "either"). A time of day that a clock change skips runs
when the clock has moved on, one that it repeats runs once; with a star for minute or hour, what counts is the time that passes.
"""

from __future__ import annotations

import re
from datetime import datetime
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from lazward.contract.errors import bad_request

_SHAPE = re.compile(r"[0-9A-Za-z*,/#\-]+( +[0-9A-Za-z*,/#\-]+){4}")
MAX_LENGTH = 200
_ANY = datetime(2000, 1, 1)  # noqa: DTZ001 - parsing needs some time to count from


def check_cron(expression: str, target: str) -> None:
    """ArmError 400 naming target when it is no expression of five fields."""
    why = "it has another number of fields, or characters that have no meaning in one"
    if len(expression) <= MAX_LENGTH and _SHAPE.fullmatch(expression.strip()):
        try:
            CronSim(expression, _ANY)
            return
        except (CronSimError, AssertionError) as error:
            why = str(error).lower() or "a step over what is no range"
    raise bad_request(f"'{expression[:80]}' is not a cron expression of five fields (minute hour day-of-month month day-of-week): {why}.", target)


def next_time(expression: str, zone: ZoneInfo, floor: int) -> int | None:
    """The first moment (unix seconds) after `floor` that fits; None when there is none for fifty years."""
    times = CronSim(expression, datetime.fromtimestamp(floor, zone))
    times.day_and = True
    try:
        for found in times:
            # Counted on the wall clock, the first passage of a repeated hour may lie behind us.
            if (moment := int(found.timestamp())) > floor:
                return moment
    except OverflowError:  # the year 9999
        pass
    return None

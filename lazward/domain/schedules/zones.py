"""Time zones by the names that Azure's clients send (Windows') and by IANA's; what a wall clock says, as a moment.

Reading a zone loads its table from the system or from the `tzdata` package once: constant data, as a module is.
"""

from __future__ import annotations

import re
from datetime import datetime
from difflib import get_close_matches
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tzlocal.windows_tz import win_tz

from lazward.contract.errors import bad_request

# Windows still lists these two, the Unicode table behind `win_tz` no longer. Kamchatka lost its own rules in 2010; the other is nobody's.
_WINDOWS = {"UTC": "Etc/UTC", **win_tz, "Kamchatka Standard Time": "Asia/Kamchatka", "Mid-Atlantic Standard Time": "Etc/GMT+2"}
_BY_FOLDED = {name.casefold(): iana for name, iana in _WINDOWS.items()}
_NAME = re.compile(r"[A-Za-z0-9_+\-/]{1,60}")


def zone_of(name: str, target: str) -> ZoneInfo:
    """The zone of a Windows name ("W. Europe Standard Time", in any case) or an IANA name ("Europe/Berlin"); ArmError 400 naming target."""
    iana = _BY_FOLDED.get(name.casefold(), name)
    if _NAME.fullmatch(iana):
        try:
            return ZoneInfo(iana)
        except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: a folder of zones, such as "Europe"
            pass
    near = get_close_matches(name[:60], _WINDOWS, n=1)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    raise bad_request(
        f"There is no time zone '{name[:60]}'. Zones are named as Windows does ('Pacific Standard Time', 'UTC') or as IANA does ('America/Los_Angeles').{hint}", target,
    )


def wall_clock(moment: float, zone: ZoneInfo) -> datetime:
    """What clocks in the zone show at a moment (unix seconds), without zone."""
    return datetime.fromtimestamp(moment, zone).replace(tzinfo=None)


def moment_of(wall: datetime, zone: ZoneInfo) -> int:
    """When clocks in the zone show `wall` (unix seconds): the first time where they show it twice; the moment at which they were put
    forward where they skip it."""
    late = int(wall.replace(tzinfo=zone, fold=0).timestamp())
    if wall_clock(late, zone) == wall:
        return late
    early = int(wall.replace(tzinfo=zone, fold=1).timestamp())  # in a gap: before the change, by the offset after it
    before = _offset(early, zone)
    while late - early > 1:
        middle = (early + late) // 2
        if _offset(middle, zone) == before:
            early = middle
        else:
            late = middle
    return late


def _offset(moment: int, zone: ZoneInfo) -> float:
    shift = datetime.fromtimestamp(moment, zone).utcoffset()
    assert shift is not None
    return shift.total_seconds()

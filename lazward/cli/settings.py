"""Reads the settings: flags, environment, settings.toml. `lazward settings` shows them."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lazward.cli import datadir, output
from lazward.cli.output import USAGE, fail
from lazward.domain.settings import Merged, SettingsError, Source, describe, from_environment, merge, without_password

_GUIDE = "See docs/guides/settings.md, or `lazward settings` for all of them."


def load(
    flags: Mapping[str, Any], assignments: Sequence[str] = (), config: str | None = None, environ: Mapping[str, str] | None = None,
    own_file: Path | None = None,
) -> Merged:
    """The settings of this command. `flags` by setting name (None: not given), `assignments` as "name=value", `config` a TOML file
    instead of the data dir's settings.toml (`own_file`: where that lies for now). Ends the command (exit code 2) at the first thing
    that is wrong."""
    environ = os.environ if environ is None else environ
    try:
        given = Source("flags", {k: v for k, v in flags.items() if v is not None}, spelled="flag")
        sources = [given, _assigned(assignments), from_environment(environ)]
        config = config or environ.get("LAZWARD_CONFIG") or None
        file = _read_file(Path(config).expanduser(), must_exist=True) if config else None
        flag = next((s.values["data_dir"] for s in (given, sources[1]) if isinstance(s.values.get("data_dir"), str)), None)
        data_dir = datadir.locate(flag, environ, file.values if file else None)
        if file is None:
            file = _read_file(own_file or Path(data_dir) / "settings.toml", must_exist=False)
            if "data_dir" in file.values:
                raise SettingsError("data_dir", file.origin, "cannot be set by a file that lies in the data dir. Use --data-dir or LAZWARD_DATA_DIR.")
        placed = [_placed(source, data_dir) for source in (*sources, file)]
        merged = merge([*placed, Source("default", {"data_dir": data_dir})])
    except SettingsError as error:
        fail(f"Setting {error}", _GUIDE, USAGE)
    return merged


def _placed(source: Source, data_dir: str) -> Source:
    """The source with its data_dir made absolute, links followed."""
    if not isinstance(source.values.get("data_dir"), str):
        return source
    return Source(source.origin, {**source.values, "data_dir": data_dir}, source.text, source.spelled)


def _assigned(assignments: Sequence[str]) -> Source:
    values = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise SettingsError(name, "--set", "has no value; write --set name=value.")
        values[name.strip().replace("-", "_").lower()] = value
    return Source("--set", values, text=True)


def _read_file(path: Path, must_exist: bool) -> Source:
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        if not must_exist:
            return Source(str(path), {})
        fail(f"The settings file {path} does not exist.", "Name another with --config, or leave it out.", USAGE)
    except (OSError, UnicodeDecodeError) as error:
        fail(f"The settings file {path} cannot be read: {error}.", _GUIDE, USAGE)
    except tomllib.TOMLDecodeError as error:
        fail(f"The settings file {path} is not TOML: {error}.", _GUIDE, USAGE)
    return Source(str(path), values)


def settings(
    *,
    data_dir: str | None = None,
    config: str | None = None,
    set: list[str] | None = None,
    json: bool = False,
) -> int:
    """Show every setting with its value and where the value comes from.

    Parameters
    ----------
    data_dir
        Folder of all local state.
    config
        A TOML file of settings instead of settings.toml in the data dir.
    set
        A setting as name=value, as `lazward up` would get it; may be repeated.
    json
        Print JSON.
    """
    merged = load({"data_dir": data_dir}, set or (), config)
    rows = []
    for one in describe():
        value = getattr(merged.settings, one.name)
        shown = without_password(value) if isinstance(value, str) else value
        rows.append({"name": one.name, "value": shown, "unit": one.unit, "origin": merged.origins[one.name], "description": one.text})
    if json:
        output.show_json(rows)
    else:
        output.show(output.columns([("setting", "value", "unit", "from"), *((r["name"], _toml(r["value"]), r["unit"], r["origin"]) for r in rows)]))
    return output.OK


def _toml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)

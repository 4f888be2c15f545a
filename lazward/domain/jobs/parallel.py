"""Parallel jobs: a command job whose properties hold a member `parallel`, the settings of a `parallel` node as the SDK sends them.

Numbers may come as text, `partition_keys` as a JSON text. What is not given has the defaults of Azure's documentation.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from lazward.contract.errors import ArmError, bad_request
from lazward.domain.commands import check_command
from lazward.domain.jobs.checks import MAX_PROCESSES

MEMBER = "properties.parallel"
MAX_TIMEOUT_S = 259_200
MAX_COUNT = 2**31 - 1
DEFAULT_TIMEOUT_S, DEFAULT_RETRIES = 60, 2
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_UNITS = {"": 1, "b": 1, "kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30}
_SIZE = re.compile(r"([0-9]{1,15})\s*(|b|kb|mb|gb)", re.IGNORECASE)
_INPUT = re.compile(r"\$\{\{\s*inputs\.([A-Za-z_][A-Za-z0-9_]*)(?:\.path)?\s*\}\}")
_OUTPUT = re.compile(r"\$\{\{\s*outputs\.([A-Za-z_][A-Za-z0-9_]*)(?:\.path)?\s*\}\}(?:/(.*))?", re.DOTALL)
# What is not a word of a command line, piece by piece: a binding, what stands around an optional piece, an escape, quoted text.
_PIECE = re.compile(r"\$\{\{.*?\}\}|\$\[\[|\]\]|\\.|'[^']*'|\"(?:\\.|[^\"\\])*\"|.", re.DOTALL)
_SPECIAL = frozenset("$`;&|<>()*?[]{}!#~\"'")


@dataclass(frozen=True)
class Settings:
    """What a parallel job is to do. mini_batch_size: files, or bytes of a table; None: the default of what the input turns out to be.
    concurrency: processes per instance; None: as many as the machine has cores. Thresholds: -1 is "any number"."""

    entry_script: str
    input_name: str
    mini_batch_size: int | None
    partition_keys: tuple[str, ...]
    timeout_s: int
    max_retries: int
    concurrency: int | None
    instances: int
    error_threshold: int
    mini_batch_error_threshold: int
    logging_level: str
    append_row_to: tuple[str, str] | None  # an output, and the path in it ("": the output itself)


def check(parallel: Any, inputs: dict[str, Any], outputs: dict[str, Any], at: str = MEMBER) -> list[ArmError]:
    """All that is wrong with the settings, each with its path below `at`. inputs, outputs: of the job, by name."""
    found: list[ArmError] = []
    if not isinstance(parallel, dict):
        return [bad_request("The settings of a parallel job are an object.", at)]
    _read(parallel, at, found)
    _check_task(parallel, inputs, outputs, at, found)
    name = _input_name(parallel)
    given = inputs.get(name) if name else None
    if given is not None and isinstance(given, dict) and given.get("jobInputType") == "literal":
        found.append(bad_request(f"input_data is split into mini-batches: it names a folder or a table, but the input '{name}' is a literal.", f"{at}.input_data"))
    elif name and given is None:
        found.append(bad_request(f"input_data refers to ${{{{inputs.{name}}}}}, but the job has no such input.", f"{at}.input_data"))
    return found


def settings_of(parallel: dict[str, Any]) -> Settings:
    """The settings with all defaults. Raises the first ArmError that check() would tell, save those about inputs and outputs."""
    found: list[ArmError] = []
    settings = _read(parallel, MEMBER, found)
    if found:
        raise found[0]
    return settings


def command_of(parallel: dict[str, Any]) -> str:
    """The command of the job. $LAZWARD_PARALLEL is the runner, which finds its plan in $LAZWARD_PARALLEL_PLAN. The arguments are words and
    bindings: what would be syntax to a shell is taken literally, as there is no shell in Azure either."""
    arguments = _words(str((parallel.get("task") or {}).get("program_arguments") or ""))
    return f'exec python -u "$LAZWARD_PARALLEL" {arguments}'.rstrip()


def workers(settings: Settings, cores: float) -> int:
    """Processes per instance. All instances are on one machine of that many cores, so they share them if nothing else is said."""
    return settings.concurrency or max(1, int(cores) // settings.instances)


def _read(parallel: dict[str, Any], at: str, found: list[ArmError]) -> Settings:
    def number(name: str, default: int, least: int, most: int = MAX_COUNT, inside: str = "") -> int:
        holder = (parallel.get(inside) or {}) if inside else parallel
        target = f"{at}.{inside}.{name}" if inside else f"{at}.{name}"
        value = holder.get(name) if isinstance(holder, dict) else None
        if value is None or value == "":
            return default
        try:
            whole = int(value) if not isinstance(value, bool | float) or value == int(value) else None
        except (TypeError, ValueError, OverflowError):
            whole = None
        if whole is None or isinstance(value, bool) or not least <= whole <= most:
            found.append(bad_request(f"{name} is a whole number between {least} and {most}, not '{str(value)[:40]}'.", target))
            return default
        return whole

    for name in ("retry_settings", "resources", "task"):
        if parallel.get(name) is not None and not isinstance(parallel[name], dict):
            found.append(bad_request(f"{name} is an object.", f"{at}.{name}"))
    task = parallel.get("task") if isinstance(parallel.get("task"), dict) else {}
    concurrency = number("max_concurrency_per_instance", 0, 1, MAX_PROCESSES)
    instances = number("instance_count", 1, 1, MAX_PROCESSES, "resources")
    if concurrency * instances > MAX_PROCESSES:
        found.append(bad_request(f"A parallel job has at most {MAX_PROCESSES} processes (instance_count x max_concurrency_per_instance).", f"{at}.max_concurrency_per_instance"))
    level = str(parallel.get("logging_level") or "INFO").upper()
    if level not in LEVELS:
        found.append(bad_request(f"logging_level is one of {', '.join(LEVELS)}, not '{level[:40]}'.", f"{at}.logging_level"))
    return Settings(
        entry_script=str((task or {}).get("entry_script") or ""),
        input_name=_input_name(parallel) or "",
        mini_batch_size=_size(parallel.get("mini_batch_size"), f"{at}.mini_batch_size", found),
        partition_keys=_keys(parallel.get("partition_keys"), f"{at}.partition_keys", found),
        timeout_s=number("timeout", DEFAULT_TIMEOUT_S, 1, MAX_TIMEOUT_S, "retry_settings"),
        max_retries=number("max_retries", DEFAULT_RETRIES, 0, MAX_COUNT, "retry_settings"),
        concurrency=concurrency or None,
        instances=instances,
        error_threshold=number("error_threshold", -1, -1),
        mini_batch_error_threshold=number("mini_batch_error_threshold", -1, -1),
        logging_level=level,
        append_row_to=_append_to(parallel),
    )


def _size(value: Any, target: str, found: list[ArmError]) -> int | None:
    """0 is what the SDK sends for "not given"."""
    if value is None or value == "":
        return None
    match = _SIZE.fullmatch(str(value).strip()) if isinstance(value, str | int) and not isinstance(value, bool) else None
    if match is None:
        found.append(bad_request(f"mini_batch_size is a number of files, or of bytes such as 10kb, 5mb or 1gb, not '{str(value)[:40]}'.", target))
        return None
    return int(match.group(1)) * _UNITS[match.group(2).lower()] or None


def _keys(value: Any, target: str, found: list[ArmError]) -> tuple[str, ...]:
    """A list of names; the SDK sends it as JSON, and a job that was read and sent again as JSON of JSON."""
    for _ in range(3):
        if not (isinstance(value, str) and value.strip()):
            break
        try:
            value = json.loads(value)
        except ValueError:
            break
    if value is None or value == "":
        return ()
    if not (isinstance(value, list) and all(isinstance(key, str) and key for key in value)):
        found.append(bad_request(f"partition_keys is a list of names, not '{str(value)[:80]}'.", target))
        return ()
    if len(set(value)) < len(value):
        found.append(bad_request("partition_keys names a key twice.", target))
    return tuple(value)


def _input_name(parallel: dict[str, Any]) -> str | None:
    match = _INPUT.fullmatch(str(parallel.get("input_data") or "").strip())
    return match.group(1) if match else None


def _append_to(parallel: dict[str, Any]) -> tuple[str, str] | None:
    task = parallel.get("task")
    match = _OUTPUT.fullmatch(str((task.get("append_row_to") if isinstance(task, dict) else None) or "").strip())
    return (match.group(1), (match.group(2) or "").strip("/")) if match else None


def _check_task(parallel: dict[str, Any], inputs: dict[str, Any], outputs: dict[str, Any], at: str, found: list[ArmError]) -> None:
    if not _input_name(parallel):
        found.append(bad_request("A parallel job needs input_data: ${{inputs.NAME}} of one of its inputs.", f"{at}.input_data"))
    task = parallel.get("task")
    if not isinstance(task, dict):
        if task is None:
            found.append(bad_request("A parallel job needs a task.", f"{at}.task"))
        return
    at = f"{at}.task"
    if str(task.get("type") or "run_function") != "run_function":
        found.append(bad_request(f"The type of a task is run_function, not '{str(task['type'])[:40]}'.", f"{at}.type"))
    script = task.get("entry_script")
    if not isinstance(script, str) or not script.strip():
        found.append(bad_request("A task needs an entry_script: a Python file with run(mini_batch).", f"{at}.entry_script"))
    elif script.startswith(("/", "\\")) or ".." in re.split(r"[/\\]", script) or "\0" in script:
        found.append(bad_request(f"The entry_script is a path in the code folder, not '{script[:80]}'.", f"{at}.entry_script"))
    if not task.get("environment"):
        found.append(bad_request("A task needs an environment.", f"{at}.environment"))
    arguments = task.get("program_arguments")
    if arguments is not None and not isinstance(arguments, str):
        found.append(bad_request("program_arguments is a text.", f"{at}.program_arguments"))
    elif arguments:
        try:
            check_command(arguments, set(inputs), set(outputs))
        except ArmError as error:
            found.append(bad_request(error.message.replace("The command refers", "program_arguments refers"), f"{at}.program_arguments"))
    rows = task.get("append_row_to")
    if rows:
        place = _append_to(parallel)
        if place is None or ".." in place[1].split("/"):
            found.append(bad_request(f"append_row_to is ${{{{outputs.NAME}}}}, or a file in it, not '{str(rows)[:80]}'.", f"{at}.append_row_to"))
        elif place[0] not in outputs:
            found.append(bad_request(f"append_row_to refers to ${{{{outputs.{place[0]}}}}}, but the job has no such output.", f"{at}.append_row_to"))


def _words(arguments: str) -> str:
    """Arguments of a program as bash reads them, with nothing in them but words, quotes and bindings."""
    out = []
    for match in _PIECE.finditer(arguments.strip()):
        piece = match.group(0)
        if piece.startswith('"') and len(piece) > 1:
            out.append(re.sub(r"\\.|\$(?!\{\{)|`", lambda m: m.group(0) if len(m.group(0)) > 1 else "\\" + m.group(0), piece, flags=re.DOTALL))
        elif len(piece) > 1:
            out.append(" " if piece == "\\\n" else piece)
        elif piece in "\r\n":
            out.append(" ")
        else:
            out.append("\\" + piece if piece in _SPECIAL or piece == "\\" else piece)
    return "".join(out)

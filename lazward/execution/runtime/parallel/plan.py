"""What the job asks for: the plan, a JSON file that the server writes, and those of the program's arguments that are meant for us."""

from __future__ import annotations

import json
from typing import Any

from .refused import Refused

FOLDER, FILES, TABLE = "folder", "files", "table"


class Plan:  # no dataclass: importing those takes as long as a hundred small mini-batches
    """Times in seconds, thresholds -1 for "any number"; paths are absolute, entry_script is relative to the working directory."""

    entry_script: str
    input: str  # a file or a folder
    input_kind: str  # FOLDER (or a file); of an MLTable: FILES (the files it lists), TABLE (if it has a reader; else the same)
    mini_batch_size: int | None = None  # files, or bytes of a table
    partition_keys: list[str] | None = None
    timeout_s: float = 60
    max_retries: int = 2
    workers_per_instance: int = 1
    instances: int = 1
    error_threshold: int = -1
    mini_batch_error_threshold: int = -1
    logging_level: str = "INFO"
    append_row_to: str | None = None  # a file, or a folder that is there
    # From here on, what arguments of the program set.
    allowed_failed_percent: float = 100
    overhead_timeout_s: float = 600
    progress_timeout_s: float = 0  # 0: no limit
    first_task_timeout_s: float = 600
    metrics_prefix: str = ""
    dataframe_header: bool = False

    def __init__(self, entry_script: str, input: str, input_kind: str, **given: Any):
        given |= {"entry_script": entry_script, "input": input, "input_kind": input_kind}
        for name in Plan.__annotations__:
            setattr(self, name, given[name] if name in given else getattr(Plan, name))

    @property
    def tries(self) -> int:
        return self.max_retries + 1


def read_plan(path: str, arguments: list[str]) -> Plan:
    """Raises Refused for an argument of ours that makes no sense. The script sees all arguments, ours too."""
    with open(path, encoding="utf-8") as source:
        document: dict[str, Any] = json.load(source)
    plan = Plan(**document)
    if any(argument.startswith("--") for argument in arguments):
        for name, value in vars(_parser().parse_known_args(arguments)[0]).items():
            if value is not None:
                setattr(plan, name, value)
    return plan


def _parser() -> Any:
    import argparse  # most jobs have no argument of ours

    class Parser(argparse.ArgumentParser):
        def error(self, message: str) -> Any:
            raise Refused(f"program_arguments: {message}")

    parser = Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("--error_threshold", type=_number(-1), dest="error_threshold")
    parser.add_argument("--allowed_failed_percent", type=_number(0, 100, float), dest="allowed_failed_percent")
    parser.add_argument("--task_overhead_timeout", type=_number(1), dest="overhead_timeout_s")
    parser.add_argument("--progress_update_timeout", type=_number(1), dest="progress_timeout_s")
    parser.add_argument("--first_task_creation_timeout", type=_number(1), dest="first_task_timeout_s")
    parser.add_argument("--metrics_name_prefix", dest="metrics_prefix")
    parser.add_argument("--append_row_dataframe_header", type=_truth, dest="dataframe_header")
    return parser


def _number(least: float, most: float = 2**31 - 1, kind: Any = int) -> Any:
    def read(text: str) -> Any:
        value = kind(text)
        if not least <= value <= most:
            from argparse import ArgumentTypeError

            raise ArgumentTypeError(f"{text} is not between {least:g} and {most:g}")
        return value

    read.__name__ = "number"
    return read


def _truth(text: str) -> bool:
    if text.lower() not in ("true", "false", "1", "0", "yes", "no"):
        from argparse import ArgumentTypeError

        raise ArgumentTypeError(f"'{text}' is neither True nor False")
    return text.lower() in ("true", "1", "yes")

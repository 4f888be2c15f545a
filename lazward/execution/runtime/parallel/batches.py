"""The input, split into mini-batches. A mini-batch is what a worker needs to read it:

    {"files": [path, ...]}                            a list of files
    {"pieces": [{"path", "start", "end"}, ...]}       parts of files of a table, in bytes; of a Parquet file, in row groups.
                                                      No "end": the whole file
    {"rows": [first, after_last]}                     rows of a table that can only be read as a whole

and "keys": {name: value} where it is a partition.
"""

from __future__ import annotations

import os
from typing import Any, Dict, Iterable, Iterator, Sequence

from .partitions import folder_keys
from .plan import FILES, FOLDER, Plan
from .refused import Refused
from .table import Table

DEFAULT_FILES = 10
DEFAULT_BYTES = 1 << 20
Batch = Dict[str, Any]


def split(plan: Plan) -> list[Batch]:
    """All mini-batches, in the order of the names of the files. Raises Refused."""
    keys = plan.partition_keys or []
    if not os.path.lexists(plan.input):
        raise Refused(f"The input_data is not there: {plan.input}")
    table = Table.open(plan.input) if plan.input_kind != FOLDER else None
    if table is None and plan.input_kind != FOLDER:
        raise Refused(f"The input_data is of type mltable, but {plan.input} holds no file named MLTable.")
    if table is not None and table.tabular and plan.input_kind != FILES:
        batches = _of_table(table, plan.mini_batch_size or DEFAULT_BYTES, keys)
    else:
        root = plan.input
        files = table.files() if table is not None else files_below(root)
        groups = _partition(files, keys, table.format if table is not None else None, root) if keys else None
        if groups is not None:
            batches = [{"files": paths, "keys": values} for values, paths in groups]
        else:
            batches = [{"files": part} for part in chunks(files, plan.mini_batch_size or DEFAULT_FILES)]
    if not batches:
        raise Refused(f"There is nothing to do: the input_data {plan.input} holds no data.")
    return batches


def files_below(root: str) -> list[str]:
    """Every file of a folder, sorted; the file itself if it is one."""
    if not os.path.isdir(root):
        return [root]
    found = []
    for folder, _, names in os.walk(root, followlinks=True):
        found += [os.path.join(folder, name) for name in names]
    return sorted(found)


def chunks(items: Sequence[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(items), size):
        yield list(items[start : start + size])


def _partition(files: Iterable[str], keys: Sequence[str], form: Any, root: str) -> list[tuple[dict[str, str], list[str]]]:
    """Files by the values of their keys, which are in their paths: as the partition format of a table says, else as folders."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for path in files:
        values = form.values(path) if form is not None else folder_keys(os.path.relpath(path, root), keys)
        if values is None:
            raise Refused(f"The path {path} does not match the partition format '{form.text}'." if form is not None else
                          f"The file {path} is in no folders that tell {', '.join(keys)}: name them key=value, or nest one level per key.")
        missing = [key for key in keys if key not in values]
        if missing:
            raise Refused(f"partition_keys names '{missing[0]}', which the data are not partitioned by; they are by {', '.join(values) or 'nothing'}.")
        groups.setdefault(tuple(values[key] for key in keys), []).append(path)
    return [(dict(zip(keys, values)), paths) for values, paths in sorted(groups.items())]


def _of_table(table: Table, size: int, keys: Sequence[str]) -> list[Batch]:
    if keys:
        form: Any = table.format
        if form is None:
            raise Refused("partition_keys needs a table that is partitioned: extract_columns_from_partition_format in its MLTable file.")
        if table.whole:
            raise Refused(f"partition_keys cannot be used with a table that {table.whole}.")
        return [{"pieces": [{"path": p} for p in paths], "keys": values} for values, paths in _partition(table.files(), keys, form, table.folder)]
    if table.whole:
        rows, width = table.measure()
        return [{"rows": [part[0], part[-1] + 1]} for part in chunks(range(rows), max(1, int(size / max(1.0, width))))]
    # A mini-batch of a table never crosses a file's end.
    return [{"pieces": [piece]} for path in table.files() for piece in table.pieces(path, size)]


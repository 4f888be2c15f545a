"""Running a notebook as it is: every cell in a real kernel, magics and all, in the notebook's folder."""

from __future__ import annotations

from pathlib import Path

import nbformat
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

CELL_S = 540


def run_notebook(path: Path, replaced: dict[str, str] | None = None, python: str = "") -> str:
    """Runs a notebook to its end; returns what its cells printed. replaced: texts of cells, each of which has to be there. python: of
    the kernel, when not the tests' own."""
    notebook = nbformat.read(path, as_version=4)
    for text, instead in (replaced or {}).items():
        hits = [cell for cell in notebook.cells if cell.cell_type == "code" and text in cell.source]
        assert hits, f"no cell of {path.name} has {text}"
        for cell in hits:
            cell.source = cell.source.replace(text, instead)
    try:
        manager = AsyncKernelManager(kernel_name="python3")
        if python:
            manager.kernel_spec.argv[0] = python  # type: ignore[union-attr]
        NotebookClient(notebook, timeout=CELL_S, km=manager, resources={"metadata": {"path": str(path.parent)}}).execute()
    except CellExecutionError as error:
        raise AssertionError(str(error)[-6000:]) from None
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    return "".join(output.get("text", "") for output in outputs)

"""It runs in the environments of users: older Pythons, nothing installed but MLflow, and nothing of the server's."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

import lazward_mlflow
from tests.test_layers import imports_of

FOLDER = Path(lazward_mlflow.__file__).parent
MODULES = sorted(FOLDER.glob("*.py"))
# Tested with the whole client, over a network that fails.
WITH_THE_CLIENT = {"__main__", "heartbeat", "hooks", "lane", "plugin", "spool"}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.stem)
class TestEach:
    def test_is_python_3_8(self, path: Path):
        ast.parse(path.read_text(), feature_version=(3, 8))

    def test_needs_nothing_but_the_standard_library_and_mlflow(self, path: Path):
        others = imports_of(path) - sys.stdlib_module_names - {"lazward_mlflow"}
        assert others <= ({"mlflow", "requests"} if path.stem in ("hooks", "spool", "plugin") else set())

    def test_imports_mlflow_only_when_it_is_there(self, path: Path):
        top = {alias.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.Import) for alias in node.names}
        top |= {node.module or "" for node in ast.parse(path.read_text()).body if isinstance(node, ast.ImportFrom)}
        assert not {name for name in top if name.split(".")[0] in ("mlflow", "requests", "azureml")}


def test_every_module_has_its_test():
    without = {path.stem for path in MODULES if not (Path(__file__).parent / f"test_{path.stem}.py").exists()}
    assert without == WITH_THE_CLIENT | {"__init__"}

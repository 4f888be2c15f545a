"""In processes of their own: what is imported once stays imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

RUNTIME = Path(__file__).parents[5] / "lazward" / "execution" / "runtime" / "serve"
LOAD = f"""
import importlib.util, sys
spec = importlib.util.spec_from_file_location("_serve", {str(RUNTIME / "__init__.py")!r}, submodule_search_locations=[{str(RUNTIME)!r}])
sys.modules["_serve"] = module = importlib.util.module_from_spec(spec)
from _serve import legacy
legacy.install()
legacy.install()
"""


def run(code: str, *paths: Path) -> str:
    env = {"PYTHONPATH": ":".join(map(str, paths))}
    done = subprocess.run([sys.executable, "-c", LOAD + code], capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    "line",
    [
        "from azureml.contrib.services.aml_request import AMLRequest, rawhttp",
        "import azureml.contrib.services.aml_response as r; r.AMLResponse",
        "from azureml_inference_server_http.api.aml_request import AMLRequest, rawhttp",
        "from azureml_inference_server_http.api.aml_response import AMLResponse",
        "from azureml.ai.monitoring import Collector",
        "from azureml.ai.monitoring.context import BasicCorrelationContext",
        "from inference_schema.schema_decorators import input_schema, output_schema",
        "from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType",
        "from inference_schema.parameter_types.pandas_parameter_type import PandasParameterType",
        "from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType",
        "from inference_schema.parameter_types.abstract_parameter_type import AbstractParameterType",
        "import inference_schema.schema_util as u; u.is_schema_decorated",
    ],
)
def test_names_that_scripts_import_are_there(line):
    run(line)


def test_a_real_package_wins_save_for_the_request_classes(tmp_path):
    for name in ("inference_schema", "azureml/ai/monitoring", "azureml_inference_server_http/api"):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text("REAL = True\nCollector = 'real'\n")
    (tmp_path / "azureml_inference_server_http" / "__init__.py").write_text("REAL = True\n")
    (tmp_path / "azureml_inference_server_http" / "api" / "aml_request.py").write_text("rawhttp = 'real'\n")
    out = run(
        "import inference_schema; print(inference_schema.REAL)\n"
        "from azureml.ai.monitoring import Collector; print(Collector)\n"
        "import azureml_inference_server_http as a; print(a.REAL)\n"
        "from azureml_inference_server_http.api.aml_request import rawhttp; print(rawhttp.__module__)\n"
        "from azureml.contrib.services.aml_request import rawhttp as same; print(same is rawhttp)",
        tmp_path,
    )
    assert out.split() == ["True", "real", "True", "_serve.legacy.aml", "True"]


def test_other_names_are_still_missing():
    run(
        "for name in ('azureml.core', 'azureml.contrib.other', 'inference_schema.nope'):\n"
        "    try: __import__(name)\n"
        "    except ImportError: continue\n"
        "    raise SystemExit(name)"
    )

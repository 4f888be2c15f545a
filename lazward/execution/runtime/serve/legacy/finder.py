"""Serves the modules of this package under the names that scripts import."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from typing import Any, Dict, Tuple

# name -> (module of this package, names it offers). An empty module name is a bare package.
Table = Dict[str, Tuple[str, Tuple[str, ...]]]
_PACKAGE: tuple[str, tuple[str, ...]] = ("", ())
_REQUEST = ("aml", ("AMLRequest", "rawhttp"))
_RESPONSE = ("aml", ("AMLResponse",))
_TYPES = "inference_schema.parameter_types"

# Ours always: the server must know its own request class and decorator.
OWN: Table = {
    "azureml.contrib.services.aml_request": _REQUEST,
    "azureml.contrib.services.aml_response": _RESPONSE,
    "azureml_inference_server_http.api.aml_request": _REQUEST,
    "azureml_inference_server_http.api.aml_response": _RESPONSE,
}
# Ours where the environment has none.
FALLBACK: Table = {
    "azureml": _PACKAGE,
    "azureml.contrib": _PACKAGE,
    "azureml.contrib.services": _PACKAGE,
    "azureml_inference_server_http": _PACKAGE,
    "azureml_inference_server_http.api": _PACKAGE,
    "azureml.ai": _PACKAGE,
    "azureml.ai.monitoring": ("collector", ("Collector",)),
    "azureml.ai.monitoring.collector": ("collector", ("Collector",)),
    "azureml.ai.monitoring.context": ("collector", ("BasicCorrelationContext", "CorrelationContext")),
    "inference_schema": _PACKAGE,
    "inference_schema.schema_decorators": ("decorators", ("input_schema", "output_schema")),
    "inference_schema.schema_util": ("decorators", ("get_input_schema", "get_output_schema", "is_schema_decorated")),
    _TYPES: _PACKAGE,
    f"{_TYPES}.abstract_parameter_type": ("parameters", ("AbstractParameterType",)),
    f"{_TYPES}.standard_py_parameter_type": ("parameters", ("StandardPythonParameterType",)),
    f"{_TYPES}.numpy_parameter_type": ("arrays", ("NumpyParameterType",)),
    f"{_TYPES}.pandas_parameter_type": ("frames", ("PandasParameterType",)),
}


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def __init__(self, table: Table) -> None:
        self._table = table

    def find_spec(self, name: str, path: Sequence[str] | None, target: Any = None) -> Any | None:
        if name not in self._table:
            return None
        is_package = any(other.startswith(name + ".") for other in (*OWN, *FALLBACK))
        return importlib.machinery.ModuleSpec(name, self, is_package=is_package)

    def create_module(self, spec: Any) -> None:
        return None

    def exec_module(self, module: Any) -> None:
        source, names = self._table[module.__name__]
        if source:
            own = importlib.import_module(f"{__package__}.{source}")
            for name in names:
                setattr(module, name, getattr(own, name))


def install() -> None:
    """Makes the modules importable; twice does nothing more."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder(OWN))
        sys.meta_path.append(_Finder(FALLBACK))

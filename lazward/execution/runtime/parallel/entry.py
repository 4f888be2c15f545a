"""The user's entry script: loading it, calling it, and what it may import of us (`azureml_user.parallel_run.EntryScript`)."""

from __future__ import annotations

import importlib.util
import logging
import os
import sys
import types
from typing import Any, Callable

from .refused import Refused

LOGS = "logs"


class MiniBatchContext:
    """The second argument of run(). partition_key_value: {key: text} of a partition, else None."""

    def __init__(self, index: int, keys: dict[str, str] | None):
        self.mini_batch_index = self.minibatch_index = index
        self.mini_batch_id = str(index)
        self.partition_key_value = keys


class Entry:
    """The functions of a script; takes_context: whether run() wants a MiniBatchContext."""

    def __init__(self, module: Any):
        run = getattr(module, "run", None)
        if not callable(run):
            raise Refused(f"The entry script {module.__file__} has no function run(mini_batch).")
        self.run: Callable[..., Any] = run
        self.init: Callable[[], Any] | None = getattr(module, "init", None)
        self.shutdown: Callable[[], Any] | None = getattr(module, "shutdown", None)
        self.takes_context = _positional(run) > 1

    def call(self, data: Any, index: int, keys: dict[str, str] | None) -> Any:
        return self.run(data, MiniBatchContext(index, keys)) if self.takes_context else self.run(data)


def load(script: str, arguments: list[str]) -> Entry:
    """Runs the script as a module with its arguments in sys.argv and its folder first on sys.path. Raises Refused, or what it raises."""
    root = os.path.realpath(os.getcwd())
    path = os.path.realpath(os.path.join(root, script))
    if os.path.commonpath((root, path)) != root:
        raise Refused(f"The entry script '{script}' is outside of the code folder.")
    if not os.path.isfile(path):
        raise Refused(f"The entry script '{script}' is not in the code folder.")
    sys.argv = [path, *arguments]
    for folder in (root, os.path.dirname(path)):
        if folder in sys.path:
            sys.path.remove(folder)
        sys.path.insert(0, folder)
    name = os.path.splitext(os.path.basename(path))[0]
    if name in sys.modules or not name.isidentifier():  # a script named as a module that is in use must not take its place
        name = "entry_script_" + "".join(c if c.isalnum() else "_" for c in name)
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise Refused(f"The entry script '{script}' is not a Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # objects of the script's classes can be pickled
    spec.loader.exec_module(module)
    return Entry(module)


def offer_helpers(node: str, process: str, level: str, output_dir: str | None) -> None:
    """`from azureml_user.parallel_run import EntryScript` (or `from entry_script import EntryScript`) gives logger, log_dir, output_dir,
    working_dir and agent_name, unless the environment has packages of these names."""
    log_dir = os.path.join(os.getcwd(), LOGS, "user", "entry_script_log", node)
    made: list[Any] = []

    def entry_script() -> Any:
        if not made:
            os.makedirs(log_dir, exist_ok=True)
            logger = logging.getLogger("EntryScript")
            logger.setLevel(level)
            logger.propagate = False
            handler = logging.FileHandler(os.path.join(log_dir, f"{process}.log.txt"), encoding="utf-8")
            handler.setFormatter(logging.Formatter("%(asctime)s|%(levelname)s|%(process)d|%(message)s"))
            logger.addHandler(handler)
            made.append(types.SimpleNamespace(
                logger=logger, log_dir=log_dir, output_dir=output_dir, working_dir=os.getcwd(), agent_name=process, node_id=node,
            ))
        return made[0]

    for package, inner in (("azureml_user", "azureml_user.parallel_run"), ("entry_script", "entry_script")):
        if importlib.util.find_spec(package) is not None:
            continue
        module = types.ModuleType(inner)
        module.EntryScript = entry_script  # type: ignore[attr-defined]
        sys.modules[inner] = module
        if inner != package:
            above = types.ModuleType(package)
            above.__path__ = []
            above.parallel_run = module  # type: ignore[attr-defined]
            sys.modules[package] = above


def _positional(function: Callable[..., Any]) -> int:
    """How many positional arguments it takes; 2 where it takes any number."""
    if type(function) is types.FunctionType and not hasattr(function, "__wrapped__") and not hasattr(function, "__signature__"):
        code = function.__code__
        return 2 if code.co_flags & 0x04 else code.co_argcount  # CO_VARARGS
    import inspect  # takes as long as the rest of our imports together

    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return 1
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return 2
    return sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)

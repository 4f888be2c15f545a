"""S1: the server never unpickles. A malicious model is uploaded, registered, listed, read through every interface and deployed
(tests/security/whole.py): its payload runs in the model server's own process, which has nothing of the server's, and nowhere else."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.security.whole import Whole

LAZWARD = Path(__file__).parent.parent.parent / "lazward"
USER_SIDE = "execution/runtime/"  # runs in the environments of users, in processes of their own
LOADERS = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "torch", "keras", "tensorflow", "onnx", "skops", "numpy", "pandas", "sklearn", "mlflow", "h5py", "azureml"}
CALLS = {"eval", "exec", "compile", "__import__", "execfile"}
# Not in the server: a program that `lazward demo` runs as a client, in an environment of its own.
CLIENTS = {"cli/demo_client.py"}
# One of ours below SafeLoader, and the safe loader in C.
SAFE_LOADERS = {("domain/resource.py", "_NoAliases"), ("cli/moving/mlflow_folder.py", "_LOADER")}


def server_files() -> list[Path]:
    found = [path for path in LAZWARD.rglob("*.py") if not path.relative_to(LAZWARD).as_posix().startswith(USER_SIDE)]
    assert len(found) > 150
    return found


def test_s1_no_module_of_the_server_can_load_what_users_made():
    wrong = []
    for path in server_files():
        where = path.relative_to(LAZWARD).as_posix()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = {(node.module or "").partition(".")[0]}
            else:
                names = set()
            if names & LOADERS and where not in CLIENTS:
                wrong.append((where, node.lineno, names & LOADERS))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CALLS:
                wrong.append((where, node.lineno, node.func.id))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and ast.unparse(node.func) in ("yaml.load", "yaml.unsafe_load", "yaml.full_load", "yaml.load_all", "importlib.import_module", "runpy.run_path"):
                if ast.unparse(node.func) == "yaml.load" and (where, ast.unparse(node.args[1])) in SAFE_LOADERS:
                    continue
                if where == "cli/main.py" and "import_module" in ast.unparse(node.func):
                    continue  # our own verbs, by a table of names
                wrong.append((where, node.lineno, ast.unparse(node.func)))
            if isinstance(node, ast.Call) and any(keyword.arg == "shell" and ast.unparse(keyword.value) != "False" for keyword in node.keywords):
                wrong.append((where, node.lineno, "shell="))
    assert wrong == []


def test_s1_the_loader_of_yaml_makes_no_objects():
    import yaml

    from lazward.domain.resource import _NoAliases

    assert issubclass(_NoAliases, yaml.SafeLoader)
    with pytest.raises(yaml.YAMLError):
        yaml.load("!!python/object/apply:os.system ['true']", _NoAliases)


@pytest.mark.parametrize("part", ["lazward.apps.control", "lazward.apps.worker", "lazward.apps.serving.gateway", "lazward.cli.supervisor"])
def test_s1_no_part_of_the_server_imports_a_library_that_unpickles(part: str):
    """Of what is imported when the part is: pickle itself is in the standard library's own use; those that load models are not."""
    script = f"import sys, {part}; print(' '.join(sorted({{name.partition('.')[0] for name in sys.modules}})))"
    loaded = set(subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=LAZWARD.parent).stdout.split())
    assert not loaded & (LOADERS - {"pickle", "_pickle", "marshal"}), loaded & LOADERS


@pytest.mark.xdist_group("whole")
def test_s1_a_malicious_model_runs_in_the_model_servers_process_only(whole: Whole):
    payloads, parts = whole.payloads, whole.server.pids()
    assert payloads, "the model was not even loaded where it is meant to be"
    for payload in payloads:
        command = " ".join(payload["argv"])
        assert payload["pid"] not in parts.values() and payload["pid"] != whole.job["pid"]
        assert re.search(r"execution/runtime/serve|serve", command), command
        assert Path(payload["cwd"]).is_relative_to(whole.server.data_dir / "serving")


@pytest.mark.xdist_group("whole")
def test_s1_the_model_servers_process_has_no_credential(whole: Whole):
    for payload in whole.payloads:
        given = payload["environ"]
        for name in given:
            assert not re.search(r"TOKEN|SECRET|PASSWORD|CREDENTIAL|IDENTITY|MSI|AWS_|AZURE_CLIENT|SAS", name.replace("AZUREML_", "")), name
        assert not {"MLFLOW_TRACKING_TOKEN", "AZUREML_RUN_TOKEN", "IDENTITY_HEADER", "LAZWARD_RESOLVED_SETTINGS"} & set(given)
        assert "opensesame" not in " ".join(given.values())

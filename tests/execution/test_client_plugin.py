from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from lazward.execution.client_plugin import installed


def python(path, code: str) -> str:
    """In an environment that asks for no spool, whatever this process was started with."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("LAZWARD_")}
    done = subprocess.run([sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(path)!r}); {code}"], capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_mlflow_finds_it_and_nothing_else_of_ours_is_there(tmp_path):
    made = installed(tmp_path / "cache")
    points = "import importlib.metadata as m; print([(p.name, p.load().__module__) for p in m.entry_points(group='mlflow.tracking_store')])"
    assert python(made, points) == "[('lazward-spool', 'lazward_mlflow.plugin')]"
    assert python(made, "import importlib.util as u; print(u.find_spec('lazward'))") == "None"


def test_loading_it_costs_next_to_nothing_unless_it_is_asked_for(tmp_path):
    loaded = python(installed(tmp_path), "import os; before = set(sys.modules); import lazward_mlflow.plugin; print(sorted(set(sys.modules) - before - {'__future__'}))")
    assert loaded == "['lazward_mlflow', 'lazward_mlflow.plugin']"


def test_made_once_however_many_ask_for_it(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        made = set(pool.map(lambda _: installed(tmp_path / "cache"), range(16)))
    assert len(made) == 1
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [made.pop().name]

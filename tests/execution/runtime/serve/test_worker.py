"""Workers as processes: how user code is loaded and run."""

from __future__ import annotations

import os

import psutil
import pytest

from tests.execution.runtime.serve.processes import DEADLINE_S, wait_for

ECHO = """
import logging, os, sys
def init():
    print("printed in init")
    logging.info("logged in init")
def run(data):
    if data == "crash":
        os._exit(9)
    return {"pid": os.getpid(), "argv": sys.argv, "cwd": os.getcwd(), "path": sys.path[:2], "data": data,
            "env": sorted(name for name in os.environ if name.endswith("_FD"))}
"""


def test_user_code_runs_in_its_folder_and_its_output_is_in_the_log(run):
    server = run(ECHO, name="src/score.py").ready()
    facts = server.client().post("/score", content="x").json()
    root = os.path.realpath(server.folder)
    assert facts["cwd"] == root
    assert facts["path"] == [f"{root}/src", root]
    assert facts["argv"] == [f"{root}/src/score.py"]
    assert facts["env"] == []
    assert "printed in init\n" in server.log
    assert "root - logged in init" in server.log
    wait_for(lambda: "POST /score 200" in server.log)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("def init():\n    raise RuntimeError('no model file')\ndef run(d): pass", "RuntimeError: no model file"),
        ("import nothing_of_that_name\n", "ModuleNotFoundError"),
        ("def init(: pass", "SyntaxError"),
        ("def init(): pass", "has no function run()"),
        ("def run(d): pass", "has no function init()"),
        ("def init(): pass\ndef run(*a): pass", "must not have positional-only"),
        ("def init(): pass\ndef run(): pass", "needs a parameter"),
        ("import sys\ndef init(): sys.exit('model is missing')\ndef run(d): pass", "SystemExit: model is missing"),
    ],
)
async def test_a_script_that_can_not_be_loaded_ends_the_server_with_the_reason(run, script, said):
    server = run(script, workers=2)
    assert server.process.wait(DEADLINE_S) == 3
    assert server.status.status == "failed"
    assert said in server.status.error
    assert said in server.log
    assert said in server.status.traceback
    assert not server.status.ready


def test_workers_end_with_their_master(run):
    server = run(ECHO, workers=2).ready()
    workers = [psutil.Process(worker.pid) for worker in server.status.workers]
    server.process.kill()
    gone, alive = psutil.wait_procs(workers, timeout=DEADLINE_S)
    assert (len(gone), alive) == (2, [])


def test_modules_of_the_server_do_not_shadow_those_of_the_user(run, tmp_path):
    folder = tmp_path
    for name in ("app", "scoring", "master", "worker", "messages", "logs", "settings"):
        (folder / f"{name}.py").write_text("WHO = 'user'")
    script = "import app, scoring, master, worker, messages, logs, settings\ndef init(): pass\n"
    (folder / "score.py").write_text(script + "def run(d): return [m.WHO for m in (app, scoring, master, worker, messages)]")
    server = run(ECHO, app_root=folder, entry_script="score.py").ready()
    assert server.client().post("/score", content="x").json() == ["user"] * 5

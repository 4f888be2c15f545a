"""Parallel jobs as jobs: checked, prepared, run by the real runner in real processes, their rows and logs kept."""

from __future__ import annotations

import pytest

from lazward.contract.errors import ArmError
from lazward.orchestration.job_references import ask_of
from tests.orchestration.place import HOME

SCRIPT = """
import os, sys
def init():
    print("init", *sys.argv[1:])
def run(mini_batch):
    return [os.path.basename(path) + "=" + open(path).read() for path in mini_batch]
"""
STORE = "azureml://datastores/workspaceblobstore/paths"


def node(**members) -> dict:
    """Two instances with one process each."""
    task = {"entry_script": "score.py", "environment": f"{HOME}/environments/plain/versions/1", "program_arguments": "--greet ${{inputs.word}}", "append_row_to": "${{outputs.rows}}"}
    return {"task": task, "input_data": "${{inputs.data}}", "mini_batch_size": 3, "max_concurrency_per_instance": 1, "resources": {"instance_count": 2}, "error_threshold": 0, "retry_settings": {"max_retries": 0}, **members}


def container(place) -> str:
    return place.facts("datastores/workspaceblobstore")["containerName"]


async def submit(place, name: str, script: str = SCRIPT, files: int = 10, **members) -> None:
    code = await place.code(f"code-{name}", {"score.py": script})
    for i in range(files):
        await place.blobs.put(place.account, container(place), f"in/{i}.txt", str(i).encode())
    settings = node(**members)
    place.job(
        name, "", codeId=code, parallel=settings, resources={"instanceCount": 2},
        inputs={"data": {"jobInputType": "uri_folder", "uri": f"{STORE}/in/", "mode": "Direct"}, "word": {"jobInputType": "literal", "value": "a b"}},
        outputs={"rows": {"jobOutputType": "uri_file", "uri": f"{STORE}/out/rows.txt"}},
    )


async def test_the_rows_of_all_files_are_kept_and_so_are_the_logs(place):
    await submit(place, "a")
    await place.start()
    facts = await place.over("a")
    assert facts["status"] == "Completed", facts
    rows = (await place.blobs.read_all(place.account, container(place), "out/rows.txt")).decode()
    assert rows.splitlines() == [f"{i}.txt={i}" for i in range(10)]
    assert "4 mini-batches, 2 workers" in await place.log("a")
    told = [await place.log("a", f"logs/user/stdout/{instance}/process00{instance}.stdout.txt") for instance in (0, 1)]
    assert "init --greet a b\n" in told  # the quicker one may have done it all
    assert await place.log("a", "logs/job_result.txt") == "The parallel job is done.\n"


async def test_past_a_threshold_the_job_fails_and_says_why(place):
    await submit(place, "a", "def run(mini_batch):\n    raise ValueError('no good')\n")
    await place.start()
    facts = await place.over("a")
    assert (facts["status"], facts["error"]["code"]) == ("Failed", "UserError")
    assert "error_threshold allows 0" in facts["error"]["message"] and "no good" in facts["error"]["message"]


async def test_faults_are_told_when_it_is_submitted(place):
    with pytest.raises(ArmError) as told:
        await submit(place, "a", error_threshold="x", input_data="${{inputs.word}}")
    assert [e.target for e in told.value.details] == ["properties.parallel.error_threshold", "properties.parallel.input_data"]
    assert place.get("jobs/a") is None


def test_it_queues_for_its_processes():
    assert ask_of({"parallel": node(max_concurrency_per_instance=3)}).cores == 6
    assert ask_of({"parallel": node(max_concurrency_per_instance=None)}).cores >= 1000  # all there are
    assert ask_of({"parallel": node(), "resources": {"properties": {"cores": 1}}}).cores == 1

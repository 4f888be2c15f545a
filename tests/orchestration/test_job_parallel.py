"""Parallel jobs as jobs: checked, prepared, run by the real runner in real processes, their rows and logs kept."""

from __future__ import annotations

import pytest

from lazward.contract.errors import ArmError
from lazward.orchestration import children
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


# As the SDK sends the component and the node of a YAML `parallel` step over partitioned files that the step before has written.
async def step(place, name: str, inputs: dict | None = None, **members) -> str:
    """A pipeline that writes files into folders and hands them, in direct mode, to a parallel step. Its key."""
    write = place.put("components/write/versions/1", {"componentSpec": {
        "type": "command", "command": "for c in red blue; do mkdir ${{outputs.made}}/$c; for i in 1 2 3; do echo $i > ${{outputs.made}}/$c/$i; done; done",
        "environment": f"azureml:{HOME}/environments/plain/versions/1", "inputs": {}, "outputs": {"made": {"type": "uri_folder"}},
    }}).id
    task = {
        "type": "run_function", "code": "azureml:" + await place.code("code-step", {"score.py": "def run(files, context):\n    return [context.partition_key_value['color'] + open(f).read().strip() for f in files]\n"}),
        "entry_script": "score.py", "environment": f"azureml:{HOME}/environments/plain/versions/1", "program_arguments": "--x ${{inputs.x}}", "append_row_to": "${{outputs.rows}}",
    }
    spec = {
        "type": "parallel", "task": task, "mini_batch_size": "0", "partition_keys": '["color"]', "input_data": "${{inputs.data}}", "error_threshold": 0, "retry_settings": {"timeout": 60, "max_retries": 2},
        "inputs": {"data": {"type": "uri_folder", "mode": "direct"}, "x": {"type": "string", "default": "7"}}, "outputs": {"rows": {"type": "uri_file", "mode": "rw_mount"}}, "resources": {"instance_count": 2},
    }
    score = place.put("components/score/versions/1", {"componentSpec": spec}).id
    return place.put(f"jobs/{name}", {"jobType": "Pipeline", "settings": {}, "inputs": inputs or {}, "jobs": {
        "write": {"type": "command", "componentId": write, "inputs": {}},
        "score": {
            "type": "parallel", "componentId": score, "task": task, "input_data": "${{inputs.data}}", "mini_batch_size": 0, "partition_keys": '["color"]', "max_concurrency_per_instance": 1,
            "inputs": {"data": {"job_input_type": "literal", "value": "${{parent.jobs.write.outputs.made}}", "mode": "Direct"}}, **members,
        },
    }}).key


async def test_a_step_of_a_pipeline(place):
    key = await step(place, "p")
    await place.start()
    facts = await place.over("p")
    assert facts["status"] == "Completed", facts
    (score,) = [row for row in place.db.read_now(children.of, key) if row.doc["lazward"]["node"] == "score"]
    uri = score.properties["outputs"]["rows"]["uri"].rstrip("/")
    rows = (await place.blobs.read_all(place.account, container(place), uri.partition("/paths/")[2])).decode()
    assert rows.splitlines() == ["blue1", "blue2", "blue3", "red1", "red2", "red3"]
    assert "2 mini-batches, 2 workers (2 instances x 1 processes), 60 s and 3 tries" in await place.log(score.name)


async def test_settings_of_a_step_are_inputs_of_the_pipeline(place):
    bound = {"partition_keys": None, "max_concurrency_per_instance": "${{parent.inputs.at_once}}", "retry_settings": {"timeout": "${{parent.inputs.patience}}", "max_retries": 2}, "logging_level": "${{parent.inputs.level}}"}
    inputs = {name: {"jobInputType": "literal", "value": value} for name, value in (("at_once", "1"), ("patience", "33"), ("level", "LOUD"))}
    with pytest.raises(ArmError) as told:
        await step(place, "p", inputs, **bound)
    assert [e.target for e in told.value.details or [told.value]] == ["properties.jobs.score.logging_level"]
    with pytest.raises(ArmError) as told:
        await step(place, "p", {}, **bound)
    assert sorted(e.target for e in told.value.details) == [f"properties.jobs.score.{name}" for name in ("logging_level", "max_concurrency_per_instance", "retry_settings.timeout")]
    key = await step(place, "p", {**inputs, "level": {"jobInputType": "literal", "value": "DEBUG"}}, **{**bound, "partition_keys": '["color"]'})
    await place.start()
    facts = await place.over("p")
    assert facts["status"] == "Completed", facts
    (score,) = [row for row in place.db.read_now(children.of, key) if row.doc["lazward"]["node"] == "score"]
    assert "2 mini-batches, 2 workers (2 instances x 1 processes), 33 s and 3 tries" in await place.log(score.name)


async def test_the_faults_of_a_step_name_the_members_of_its_node(place):
    with pytest.raises(ArmError) as told:
        await step(place, "p", logging_level="LOUD", mini_batch_error_threshold=-7)
    assert [e.target for e in told.value.details] == ["properties.jobs.score.logging_level", "properties.jobs.score.mini_batch_error_threshold"]

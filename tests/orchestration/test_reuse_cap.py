"""What steps are kept for is bounded: the outputs used longest ago go, and never what something else speaks of."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from lazward.orchestration import children
from lazward.orchestration.reuse_cap import trim
from tests.orchestration.place import HOME

STORE = "azureml://datastores/workspaceblobstore/paths"


@pytest.fixture
def write(place) -> str:
    """Writes 1000 bytes for its n, into a folder."""
    spec = {
        "type": "command", "command": "echo wrote; head -c 1000 /dev/zero > ${{outputs.made}}/${{inputs.n}}", "environment": f"azureml:{HOME}/environments/plain/versions/1",
        "inputs": {"n": {"type": "integer"}}, "outputs": {"made": {"type": "uri_folder"}},
    }
    return place.put("components/write/versions/1", {"componentSpec": spec}).id


async def run(place, write: str, name: str, n: int, **members: Any) -> Any:
    """A pipeline of one step, to its end; the step."""
    outputs = {"made": {"value": "${{parent.outputs.made}}", "type": "literal"}} if members else {}
    step = {"type": "command", "componentId": write, "inputs": {"n": {"job_input_type": "literal", "value": str(n)}}, "outputs": outputs}
    key = place.put(f"jobs/{name}", {"jobType": "Pipeline", "settings": {}, "jobs": {"w": step}, **members}).key
    facts = await place.over(name)
    assert facts["status"] == "Completed", facts
    (found,) = place.db.read_now(children.of, key)
    return found


async def there(place, step: Any) -> bool:
    container = place.facts("datastores/workspaceblobstore")["containerName"]
    path = step.properties["outputs"]["made"]["uri"].partition("/paths/")[2]
    return bool((await place.blobs.list(place.account, container, path)).blobs)


def cap(place, size: int) -> Any:
    place.runtime.settings = msgspec.structs.replace(place.runtime.settings, reuse_max_bytes=size)
    return place.runtime


async def test_what_was_used_longest_ago_goes_first_and_is_no_more_reused(place, write):
    await place.start()
    steps = [await run(place, write, f"p{n}", n) for n in range(3)]
    again = await run(place, write, "again", 0)  # takes over the first one's
    assert again.properties["outputs"] == {**again.properties["outputs"], "made": steps[0].properties["outputs"]["made"]}
    assert await trim(cap(place, 0)) == 0
    assert await trim(cap(place, 2000)) == 1000
    assert [await there(place, step) for step in steps] == [True, False, True]
    assert "reuse_max_bytes" in place.facts(f"jobs/{steps[1].name}")["properties"]["azureml.reuse.evicted"]
    assert await place.log(steps[1].name) == "wrote\n"
    assert (await run(place, write, "oncemore", 0)).properties["properties"]["azureml.isreused"] == "true"
    fresh = await run(place, write, "anew", 1)
    assert fresh.properties["properties"]["azureml.isreused"] == "false"
    assert await there(place, fresh)


async def test_what_something_speaks_of_stays(place, write):
    await place.start()
    named, bound, running, job, free = [await run(place, write, f"p{n}", n, **members) for n, members in enumerate(({}, {"outputs": {"made": {"jobOutputType": "uri_folder"}}}, {}, {}, {}))]
    place.put("data/kept/versions/1", {"dataType": "uri_folder", "dataUri": named.properties["outputs"]["made"]["uri"]})
    place.put("models/kept/versions/1", {"modelType": "custom_model", "modelUri": f"azureml://jobs/{job.name}/outputs/made"})
    place.job("waits", "sleep 600", inputs={"d": {"jobInputType": "uri_folder", "uri": running.properties["outputs"]["made"]["uri"]}})
    await trim(cap(place, 1))
    assert {step.name: await there(place, step) for step in (named, bound, running, job, free)} == {named.name: True, bound.name: True, running.name: True, job.name: True, free.name: False}


async def test_steps_of_a_pipeline_that_runs_stay(place, write):
    await place.start()
    spec = {"type": "command", "command": "sleep 600", "environment": f"azureml:{HOME}/environments/plain/versions/1", "inputs": {"d": {"type": "uri_folder"}}, "outputs": {}}
    slow = place.put("components/slow/versions/1", {"componentSpec": spec}).id
    first = await run(place, write, "p", 1)
    key = place.put("jobs/q", {"jobType": "Pipeline", "settings": {}, "jobs": {
        "w": {"type": "command", "componentId": write, "inputs": {"n": {"job_input_type": "literal", "value": "1"}}},
        "s": {"type": "command", "componentId": slow, "inputs": {"d": {"job_input_type": "literal", "value": "${{parent.jobs.w.outputs.made}}"}}},
    }}).key
    await place.until(lambda: [row.properties["status"] for row in place.db.read_now(children.of, key)] == ["Completed", "Running"], lambda: place.facts("jobs/q"))
    assert await trim(cap(place, 1)) == 0
    assert await there(place, first)

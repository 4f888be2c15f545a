"""Pipelines with real steps: bash commands in a bare environment, a real store, and a worker that dies at any moment."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

import msgspec
import pytest

from lazward.contract.errors import ArmError
from lazward.domain.resource import Doc
from lazward.orchestration import children
from lazward.orchestration.jobs import request_cancel
from lazward.orchestration.pipeline_resume import resume
from lazward.storage import resources
from tests.orchestration.place import HOME

OUT = "${{parent.jobs.%s.outputs.%s}}"
NODE = "${{parent.jobs.%s}}"


def component(place, name: str, command: str, inputs: Doc | None = None, outputs: Doc | None = None, **more: Any) -> str:
    spec = {"type": "command", "command": command, "environment": f"azureml:{HOME}/environments/plain/versions/1", "inputs": inputs or {}, "outputs": outputs or {}, **more}
    return place.put(f"components/{name}/versions/1", {"componentSpec": spec}).id


def node(component_id: str, inputs: Doc | None = None, **more: Any) -> Doc:
    given = {k: v if isinstance(v, dict) else {"job_input_type": "literal", "value": str(v)} for k, v in (inputs or {}).items()}
    return {"type": "command", "componentId": component_id, "inputs": given, **more}


def pipeline(place, name: str, jobs: Doc, settings: Doc | None = None, **more: Any) -> str:
    return place.put(f"jobs/{name}", {"jobType": "Pipeline", "jobs": jobs, "settings": settings or {}, **more}).key


def steps(place, key: str) -> dict[str, list[resources.Row]]:
    found: dict[str, list[resources.Row]] = {}
    for row in place.db.read_now(children.of, key):
        found.setdefault(row.doc["lazward"]["node"], []).append(row)
    return found


def statuses(place, key: str) -> dict[str, list[str]]:
    return {name: [row.properties["status"] for row in rows] for name, rows in steps(place, key).items()}


@pytest.fixture
def add(place):
    """Writes n + 1 as a single value, and n as a file; says whether n is below 3."""
    return component(
        place, "add", "echo ${{inputs.n}} > ${{outputs.folder}}/n; echo $((${{inputs.n}} + 1)) > ${{outputs.next}}; [ ${{inputs.n}} -lt 3 ] && echo true > ${{outputs.low}} || echo false > ${{outputs.low}}",
        {"n": {"type": "integer", "default": "1"}}, {"folder": {"type": "uri_folder"}, "next": {"type": "integer"}, "low": {"type": "boolean"}},
    )


@pytest.fixture
def show(place):
    return component(place, "show", "cat ${{inputs.folder}}/n > ${{outputs.copy}}/n; cat ${{inputs.folder}}/n $[[${{inputs.more}}/n]]", {"folder": {"type": "uri_folder"}, "more": {"type": "uri_folder", "optional": True}}, {"copy": {"type": "uri_folder"}})


class TestRun:
    async def test_values_and_folders_flow_and_outputs_are_the_pipelines(self, place, add, show):
        key = pipeline(place, "p", {
            "a": node(add, {"n": "${{parent.inputs.start}}"}), "b": node(add, {"n": OUT % ("a", "next")}),
            "c": node(show, {"folder": OUT % ("b", "folder"), "more": OUT % ("a", "folder")}, outputs={"copy": {"value": "${{parent.outputs.final}}", "type": "literal"}}),
        }, inputs={"start": {"jobInputType": "literal", "value": "5"}}, outputs={"final": {"jobOutputType": "uri_folder", "assetName": "made", "assetVersion": "3"}})
        await place.start()
        assert (await place.over("p"))["status"] == "Completed"
        assert statuses(place, key) == {"a": ["Completed"], "b": ["Completed"], "c": ["Completed"]}
        assert await place.log(steps(place, key)["c"][0].name) == "6\n5\n"
        assert await place.blobs.read_all(place.account, "azureml-blobstore-" + place_guid(place), "azureml/p/final/n") == b"6\n"
        assert place.facts("data/made/versions/3")["dataUri"].endswith("/paths/azureml/p/final/")
        said = await place.log("p", "logs/azureml/executionlogs.txt")
        assert "c: submitted as" in said
        assert "the pipeline has completed: 3 completed" in said
        await place.until(lambda: place.folders("jobs") == [], lambda: place.folders("jobs"))

    async def test_the_first_failure_stops_it_and_is_told(self, place, add, show):
        bad = component(place, "bad", "echo oops; exit 7", {"folder": {"type": "uri_folder"}}, {"o": {"type": "uri_folder"}})
        slow = component(place, "slow", "sleep 600")
        key = pipeline(place, "p", {"a": node(add), "b": node(bad, {"folder": OUT % ("a", "folder")}), "c": node(show, {"folder": OUT % ("b", "o")}), "d": node(slow)})
        await place.start()
        facts = await place.over("p")
        assert facts["status"] == "Failed"
        error = facts["error"].get("error", facts["error"])
        assert (error["code"], error["target"]) == ("PipelineFailed", "jobs.b")
        assert "exit code 7" in error["message"]
        assert "oops" in error["message"]
        assert statuses(place, key) == {"a": ["Completed"], "b": ["Failed"], "d": ["Canceled"]}

    async def test_it_goes_on_where_the_settings_say_so(self, place, add, show):
        bad = component(place, "bad", "exit 7", {}, {"o": {"type": "uri_folder"}})
        key = pipeline(place, "p", {"b": node(bad), "c": node(show, {"folder": OUT % ("b", "o")}), "d": node(add), "e": node(show, {"folder": OUT % ("d", "folder")})}, {"continue_on_step_failure": True})
        await place.start()
        assert (await place.over("p"))["status"] == "Failed"
        assert statuses(place, key) == {"b": ["Failed"], "d": ["Completed"], "e": ["Completed"]}

    async def test_cancel_stops_the_whole_tree(self, place, add):
        slow = component(place, "slow", "echo begun; sleep 600")
        spec = {"type": "pipeline", "inputs": {}, "outputs": {}, "jobs": {"s": node(slow)}}
        inner = place.put("components/inner/versions/1", {"componentSpec": spec}).id
        key = pipeline(place, "p", {"a": node(slow), "n": {"type": "pipeline", "componentId": inner}})
        await place.start()

        def leaves():
            nested = steps(place, key).get("n", [])
            return [*steps(place, key).get("a", []), *(steps(place, nested[0].key).get("s", []) if nested else [])]

        await place.until(lambda: [row.properties["status"] for row in leaves()] == ["Running", "Running"], lambda: statuses(place, key))
        place.db.write_now(request_cancel, key, 1.0)
        assert (await place.over("p"))["status"] == "Canceled"
        assert [row.properties["status"] for row in leaves()] == ["Canceled", "Canceled"]
        assert place.launches() == []


def place_guid(place) -> str:
    return next(f["containerName"] for f in [place.facts("datastores/workspaceblobstore")]).removeprefix("azureml-blobstore-")


class TestControl:
    async def test_only_the_branch_that_is_chosen_runs(self, place, add, show):
        for name, start, chosen, other in (("yes", 1, "t", "f"), ("no", 8, "f", "t")):
            key = pipeline(place, name, {
                "s": node(add, {"n": start}), "t": node(add, {"n": 20}), "f": node(add, {"n": 30}), "after": node(show, {"folder": OUT % (other, "folder")}),
                "c": {"type": "if_else", "condition": OUT % ("s", "low"), "true_block": NODE % "t", "false_block": NODE % "f"},
            })
            await place.start()
            assert (await place.over(name))["status"] == "Completed"
            await place.stop()
            assert statuses(place, key) == {"s": ["Completed"], chosen: ["Completed"]}

    async def test_do_while_feeds_its_body_until_the_condition_ends(self, place, add, show):
        key = pipeline(place, "p", {
            "body": node(add, {"n": 1}), "after": node(show, {"folder": OUT % ("body", "folder")}),
            "loop": {"type": "do_while", "body": NODE % "body", "condition": "low", "mapping": {"next": ["n"]}, "limits": {"max_iteration_count": 9}},
        })
        await place.start()
        assert (await place.over("p"))["status"] == "Completed"
        rounds = steps(place, key)["body"]
        assert [row.properties["inputs"]["n"]["value"] for row in rounds] == ["1", "2", "3"]
        assert await place.log(steps(place, key)["after"][0].name) == "3\n"

    async def test_do_while_without_a_condition_goes_to_its_limit(self, place, add):
        key = pipeline(place, "p", {"body": node(add, {"n": 1}), "loop": {"type": "do_while", "body": NODE % "body", "mapping": {"next": "n"}, "limits": {"max_iteration_count": 2}}})
        await place.start()
        assert (await place.over("p"))["status"] == "Completed"
        assert statuses(place, key) == {"body": ["Completed"] * 2}

    async def test_parallel_for_gives_each_round_its_item_and_gathers(self, place, add):
        lister = component(place, "lister", "cd ${{inputs.all}}; cat */n | sort; cat MLTable; echo '${{inputs.values}}'", {"all": {"type": "mltable"}, "values": {"type": "string"}})
        key = pipeline(place, "p", {
            "body": node(add), "loop": {"type": "parallel_for", "body": NODE % "body", "items": '[{"n": 4}, {"n": 5}, {"n": 6}]', "max_concurrency": 2},
            "after": node(lister, {"all": OUT % ("loop", "folder"), "values": OUT % ("loop", "next")}),
        })
        await place.start()
        assert (await place.over("p"))["status"] == "Completed"
        assert await place.log(steps(place, key)["after"][0].name) == '4\n5\n6\npaths:\n  - folder: ./0\n  - folder: ./1\n  - folder: ./2\n{"0": "5", "1": "6", "2": "7"}\n'


class TestOfAComponent:
    async def test_its_nodes_defaults_and_outputs_are_the_jobs(self, place, add):
        inner = place.put("components/inner/versions/1", {"componentSpec": {
            "type": "pipeline", "inputs": {"k": {"type": "integer", "default": "5"}, "more": {"type": "uri_folder", "optional": True}}, "outputs": {"made": {"type": "uri_folder"}, "next": {"type": "integer"}},
            "jobs": {"a": node(add, {"n": "${{parent.inputs.k}}"}, outputs={"folder": "${{parent.outputs.made}}", "next": "${{parent.outputs.next}}"})},
        }}).id
        for name, given, number in (("p", {}, "5"), ("q", {"k": {"jobInputType": "literal", "value": "8"}}, "8")):
            key = pipeline(place, name, {}, componentId=inner, inputs=given)
            await place.start()
            facts = await place.over(name)
            await place.stop()
            assert (facts["status"], facts["parameters"]) == ("Completed", {"k": number})
            assert statuses(place, key) == {"a": ["Completed"]}
            made, following = facts["outputs"]["made"], facts["outputs"]["next"]
            assert (made["jobOutputType"], made["uri"]) == ("uri_folder", f"azureml://datastores/workspaceblobstore/paths/azureml/{name}/made/")
            assert following["jobOutputType"] == "uri_file"
            assert (await place.blobs.read_all(place.account, f"azureml-blobstore-{place_guid(place)}", f"azureml/{name}/made/n")).strip() == number.encode()

    async def test_what_does_not_fit_is_refused(self, place, add):
        inner = place.put("components/inner/versions/1", {"componentSpec": {"type": "pipeline", "inputs": {"k": {"type": "integer"}}, "outputs": {}, "jobs": {"a": node(add, {"n": "${{parent.inputs.k}}"})}}}).id
        for given, component_id, targets in (
            ({"z": {"jobInputType": "literal", "value": "1"}}, inner, ["properties.inputs.z", "properties.inputs.k"]), ({}, add, ["properties.componentId"]),
            ({}, f"{HOME}/components/gone/versions/1", ["properties.componentId"]), ({}, None, ["properties.jobs"]),
        ):
            with pytest.raises(ArmError) as caught:
                pipeline(place, "p", {}, componentId=component_id, inputs=given)
            assert [p.target for p in caught.value.details or [caught.value]] == targets
            assert place.get("jobs/p") is None


class TestReuse:
    async def test_equal_steps_take_over_what_was_done_and_say_so(self, place, add, show):
        def jobs(n: int) -> Doc:
            return {"a": node(add, {"n": n}), "b": node(show, {"folder": OUT % ("a", "folder")})}

        await place.start()
        said = {}
        for name, n, settings in (("one", 1, {}), ("two", 1, {}), ("three", 2, {}), ("four", 1, {"force_rerun": True})):
            key = pipeline(place, name, jobs(n), settings)
            assert (await place.over(name))["status"] == "Completed"
            said[name] = {node: rows[0].properties["properties"]["azureml.reuse"] for node, rows in steps(place, key).items()}
        one = steps(place, f"{HOME}/jobs/one".lower())
        assert said["one"]["a"].startswith("not reused: no earlier step")
        assert said["two"] == {name: f"reused: {rows[0].name}, which completed at {rows[0].properties['endTimeUtc']}" for name, rows in one.items()}
        assert said["three"] == {"a": "not reused: the input 'n' is another", "b": "not reused: the input 'folder' is another"}
        assert said["four"]["a"] == "not reused: the pipeline's settings say force_rerun"
        two = steps(place, f"{HOME}/jobs/two".lower())
        assert two["b"][0].properties["outputs"]["copy"]["uri"] == one["b"][0].properties["outputs"]["copy"]["uri"]

    async def test_what_another_environment_made_stays_known(self, place, add):
        place.environments.environment = msgspec.structs.replace(place.environments.environment, loosened=("numpy 1.21.2 -> 1.23.2",))
        for name in ("p", "q"):
            key = pipeline(place, name, {"a": node(add, {"n": 5})})
            await place.start()
            await place.over(name)
            await place.stop()
            facts = steps(place, key)["a"][0].properties["properties"]
            assert (facts["azureml.isreused"], facts["lazward.environment.loosened"]) == (str(name == "q").lower(), "numpy 1.21.2 -> 1.23.2")

    async def test_what_is_archived_or_not_deterministic_is_not_reused(self, place, add):
        dice = component(place, "dice", "echo 1", is_deterministic=False)
        await place.start()
        first = pipeline(place, "one", {"a": node(add), "d": node(dice)})
        await place.over("one")
        row = steps(place, first)["a"][0]
        place.put(f"jobs/{row.name}", {**row.properties, "isArchived": True})
        second = pipeline(place, "two", {"a": node(add), "d": node(dice)})
        await place.over("two")
        said = {name: rows[0].properties["properties"]["azureml.reuse"] for name, rows in steps(place, second).items()}
        assert said == {"a": f"not reused: the step like it, {row.name}, is archived", "d": "not reused: the component says is_deterministic: false"}


class TestResume:
    async def test_what_completed_is_kept_nested_and_in_loops(self, place, add, show):
        flag = place.folder / "mended"
        witness = place.folder / "witness"
        note = component(place, "note", f"echo ${{{{inputs.who}}}} >> {witness}; echo 1 > ${{{{outputs.folder}}}}/n", {"who": {"type": "string"}}, {"folder": {"type": "uri_folder"}}, is_deterministic=False)
        fragile = component(place, "fragile", f"cat ${{{{inputs.folder}}}}/n; test -e {flag}", {"folder": {"type": "uri_folder"}}, is_deterministic=False)
        spec = {"type": "pipeline", "inputs": {}, "outputs": {}, "jobs": {"x": node(note, {"who": "x"}), "y": node(fragile, {"folder": OUT % ("x", "folder")})}}
        inner = place.put("components/inner/versions/1", {"componentSpec": spec}).id
        key = pipeline(place, "p", {"a": node(note, {"who": "a"}), "n": {"type": "pipeline", "componentId": inner}, "b": node(fragile, {"folder": OUT % ("a", "folder")})}, {"continue_on_step_failure": True})
        await place.start()
        assert (await place.over("p"))["status"] == "Failed"
        flag.touch()
        assert place.tags("p")["lazward.error"].startswith("PipelineFailed: ")
        place.db.write_now(resume, key, time.time())
        assert "lazward.error" not in place.tags("p")
        facts = await place.over("p")
        assert facts["status"] == "Completed", facts.get("error")
        assert "error" not in facts
        assert sorted(witness.read_text().split()) == ["a", "x"]
        assert statuses(place, key) == {"a": ["Completed"], "n": ["Completed"], "b": ["Failed", "Completed"]}
        with pytest.raises(ArmError, match="it is a Pipeline job, Completed"):
            place.db.write_now(resume, key, time.time())


async def test_deleting_a_pipeline_deletes_its_steps(place, add):
    key = pipeline(place, "p", {"a": node(add), "b": node(add, {"n": OUT % ("a", "next")})})
    await place.start()
    await place.over("p")
    names = [rows[0].name for rows in steps(place, key).values()]
    place.delete("jobs/p")
    await place.until(lambda: not any(place.get(f"jobs/{name}") for name in ("p", *names)))
    assert [await place.blobs.info(place.account, "azureml", f"ExperimentRun/dcid.{name}/user_logs/std_log.txt") for name in names] == [None, None]


async def test_a_deleted_step_is_over_and_the_others_are_stopped(place, add, show):
    slow = component(place, "slow", "echo begun; sleep 600")
    key = pipeline(place, "p", {"a": node(slow), "b": node(slow)})
    await place.start()
    await place.until(lambda: statuses(place, key) == {"a": ["Running"], "b": ["Running"]}, lambda: statuses(place, key))
    place.delete(f"jobs/{steps(place, key)['a'][0].name}")
    assert (await place.over("p"))["status"] == "Failed"
    await place.until(lambda: statuses(place, key) == {"b": ["Canceled"]}, lambda: statuses(place, key))


async def test_an_end_that_was_committed_late_is_seen(place, add, show):
    """A document carries the time at which its writer began, so a later end may bear an earlier time than one that was seen."""
    slow = component(place, "slow", "echo begun; sleep 600")
    key = pipeline(place, "p", {"a": node(slow), "b": node(slow)}, {"continue_on_step_failure": True})
    await place.start()
    await place.until(lambda: statuses(place, key) == {"a": ["Running"], "b": ["Running"]}, lambda: statuses(place, key))
    names = [rows[0].name for rows in steps(place, key).values()]
    for name, at in zip(names, (time.time() + 60, time.time() - 60), strict=True):
        place.db.write_now(request_cancel, f"{HOME}/jobs/{name}".lower(), at)
        await place.until(lambda name=name: place.facts(f"jobs/{name}")["status"] == "Canceled")
    assert (await place.over("p"))["status"] == "Failed"


class TestRefused:
    async def test_every_fault_of_the_tree_at_submit(self, place, add, show):
        inner = place.put("components/inner/versions/1", {"componentSpec": {"type": "pipeline", "inputs": {"k": {"type": "integer"}}, "outputs": {}, "jobs": {
            "x": node(add, {"n": "${{parent.inputs.none}}"}), "y": node(show),
        }}}).id
        with pytest.raises(ArmError) as caught:
            pipeline(place, "p", {
                "a": node(add, {"n": "many", "z": 1}), "b": node(show, {"folder": OUT % ("a", "nothing")}), "c": node(f"{HOME}/components/gone/versions/1"),
                "d": node(add, {"n": OUT % ("a", "folder")}), "n": {"type": "pipeline", "componentId": inner, "inputs": {"k": {"job_input_type": "literal", "value": "1"}}},
                "e": node(add, computeId=f"{HOME}/computes/none"),
            })
        assert {p.target for p in caught.value.details} == {f"properties.jobs.{place}" for place in (
            "a.inputs.n", "a.inputs.z", "b.inputs.folder", "c.componentId", "d.inputs.n", "n.jobs.x.inputs.n", "n.jobs.y.inputs.folder", "e.computeId",
        )}
        assert place.get("jobs/p") is None

    async def test_a_number_is_no_condition(self, place, add):
        for given in ("3", OUT % ("a", "next"), OUT % ("a", "folder"), OUT % ("a", "none")):
            with pytest.raises(ArmError) as caught:
                pipeline(place, "p", {"a": node(add), "b": node(add), "c": {"type": "if_else", "condition": given, "true_block": NODE % "b"}})
            assert caught.value.target == "properties.jobs.c.condition"

    async def test_a_loop_over_what_its_body_has_not(self, place, add):
        with pytest.raises(ArmError) as caught:
            pipeline(place, "p", {
                "a": node(add), "x": {"type": "do_while", "body": NODE % "a", "condition": "next", "mapping": {"next": "n", "none": ["n"], "low": ["m"]}, "limits": {"max_iteration_count": 2}},
                "b": node(add), "y": {"type": "do_while", "body": NODE % "b", "condition": OUT % ("a", "low"), "mapping": {}, "limits": {"max_iteration_count": 2}},
                "c": node(add), "z": {"type": "do_while", "body": NODE % "c", "condition": OUT % ("c", "low"), "mapping": {OUT % ("c", "next"): ["n"]}, "limits": {"max_iteration_count": 2}},
            })
        assert [p.target for p in caught.value.details] == [f"properties.jobs.{at}" for at in ("x.condition", "x.mapping.none", "x.mapping.low", "y.condition")]

    async def test_faults_of_the_graph_come_with_those_of_references(self, place, add):
        with pytest.raises(ArmError) as told:
            pipeline(place, "p", {"a": node(add, {"n": OUT % ("gone", "next"), "q": 1}), "b": {"type": "command", "componentId": "azureml:none:1"}, "c": {"type": "if_else", "condition": "maybe"}})
        assert {e.target for e in told.value.details} == {
            "properties.jobs.a.inputs.n", "properties.jobs.a.inputs.q", "properties.jobs.b.componentId", "properties.jobs.c", "properties.jobs.c.condition",
        }

    async def test_a_component_whose_code_is_gone(self, place):
        code = await place.code("gone", {"a.py": "1"})
        gone = component(place, "gone", "python a.py", code=code)
        await place.blobs.delete_prefix(place.account, "code", "gone/")
        with pytest.raises(ArmError) as told:
            pipeline(place, "p", {"a": node(gone), "b": node(gone)})
        assert [(e.code, e.target) for e in told.value.details] == [("CodeIsGone", f"properties.jobs.{name}.codeId") for name in "ab"]
        place.delete("codes/gone/versions/1")
        with pytest.raises(ArmError) as told:
            pipeline(place, "p", {"a": node(gone)})
        assert (told.value.code, told.value.target) == ("ResourceNotFound", "properties.jobs.a.codeId")

    async def test_a_component_that_holds_itself(self, place):
        itself = f"{HOME}/components/loop/versions/1"
        place.put("components/loop/versions/1", {"componentSpec": {"type": "pipeline", "inputs": {}, "outputs": {}, "jobs": {"n": {"type": "pipeline", "componentId": itself}}}})
        with pytest.raises(ArmError, match="contains itself"):
            pipeline(place, "p", {"n": {"type": "pipeline", "componentId": itself}})


class TestAnotherWorkerTakesOver:
    @pytest.mark.parametrize("seed", range(3))
    async def test_at_any_moment(self, place, add, show, seed):
        """What runs was started once, and the end is that of a calm run."""
        witness = place.folder / "witness"
        once = component(place, "once", f"echo ${{{{inputs.who}}}} >> {witness}; echo 1 > ${{{{outputs.folder}}}}/n", {"who": {"type": "string"}, "folder": {"type": "uri_folder", "optional": True}}, {"folder": {"type": "uri_folder"}}, is_deterministic=False)
        jobs: Doc = {f"n{i}": node(once, {"who": f"n{i}", **({"folder": OUT % (f"n{i - 3}", "folder")} if i >= 3 else {})}) for i in range(9)}
        jobs |= {
            "s": node(add, {"n": 1}), "t": node(once, {"who": "t"}), "f": node(once, {"who": "f"}),
            "c": {"type": "if_else", "condition": OUT % ("s", "low"), "true_block": NODE % "t", "false_block": NODE % "f"},
            "body": node(add, {"n": 1}), "loop": {"type": "do_while", "body": NODE % "body", "condition": "low", "mapping": {"next": ["n"]}, "limits": {"max_iteration_count": 9}},
        }
        key = pipeline(place, "p", jobs)
        dice = random.Random(seed)
        while place.facts("jobs/p")["status"] not in ("Completed", "Failed", "Canceled"):
            await place.start()
            await asyncio.sleep(dice.uniform(0.02, 0.5))
            await place.stop()
        await place.start()
        facts = await place.over("p")
        assert facts["status"] == "Completed", facts.get("error")
        assert sorted(witness.read_text().split()) == sorted(["t", *(f"n{i}" for i in range(9))])
        assert len(steps(place, key)["body"]) == 3
        assert {status for rows in statuses(place, key).values() for status in rows} == {"Completed"}

"""Conditions and loops, which the SDK sends where its private features are on: what its own test files ask for, in files written anew.

The SDK decides at import what its schemas take, so that jobs are submitted by another process, which has the variable from its start.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest
import yaml
from azure.ai.ml.entities import Data
from azure.core.exceptions import HttpResponseError

from tests.acceptance.runs import download, finish, log_of

PRIVATE = "AZURE_ML_CLI_PRIVATE_FEATURES_ENABLED"
PLAIN = "azureml:AzureML-sklearn-1.5@latest"
SUBMIT = """
import os, sys
from azure.ai.ml import MLClient, load_component, load_job
from azure.identity import DefaultAzureCredential

client = MLClient(DefaultAzureCredential(), *(os.environ[f"LAZWARD_{name}"] for name in ("SUBSCRIPTION_ID", "RESOURCE_GROUP", "WORKSPACE")))
"""
OF_A_FILE = "job = load_job(sys.argv[1])\n"


@pytest.fixture
def submit(client, tmp_path):
    """Submits a pipeline's file, or what a script leaves as `job`; returns the job."""

    def run(path: Path | None = None, script: str = OF_A_FILE):
        text = SUBMIT + dedent(script) + "print('JOB', client.jobs.create_or_update(job).name)\n"
        done = subprocess.run([sys.executable, "-W", "ignore", "-c", text, str(path)], cwd=tmp_path, env={**os.environ, PRIVATE: "True"}, capture_output=True, text=True)
        found = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("JOB ")]
        assert found, done.stderr[-3000:]
        return client.jobs.get(found[0])

    return run


def write(folder: Path, name: str, document: dict) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return path


@pytest.fixture
def components(tmp_path) -> Path:
    """decide: gives `output`, true or not, as a control output. count: one number lower, whether it is still above zero, and a folder.
    say: prints a number and what is in a folder."""
    decide = 'python -c "open(r\'${{outputs.output}}\', \'w\').write(str(${{inputs.number}} > 0))"'
    write(tmp_path, "components/decide/spec.yaml", {
        "type": "command", "name": "decide", "version": "1", "inputs": {"number": {"type": "integer", "default": 1}},
        "outputs": {"output": {"type": "boolean", "is_control": True}}, "command": decide, "environment": PLAIN,
    })
    count = (
        "n=${{inputs.number}}; ls ${{inputs.folder}}; cat ${{inputs.folder}}/trace > ${{outputs.folder_out}}/trace 2> /dev/null; echo $n >> ${{outputs.folder_out}}/trace; "
        "echo $((n - 1)) > ${{outputs.number_out}}; if [ $n -gt 1 ]; then echo True; else echo False; fi > ${{outputs.above_zero}}"
    )
    write(tmp_path, "components/count.yml", {
        "type": "command", "name": "count", "version": "1", "inputs": {"number": {"type": "integer", "optional": False}, "folder": {"type": "uri_folder"}},
        "outputs": {"folder_out": {"type": "uri_folder"}, "number_out": {"type": "integer", "is_control": True}, "above_zero": {"type": "boolean", "is_control": True}},
        "command": count, "environment": PLAIN,
    })
    write(tmp_path, "components/say/spec.yaml", {
        "type": "command", "name": "say", "version": "1", "inputs": {"number": {"type": "number", "optional": True, "default": 10.5}, "path": {"type": "uri_folder", "optional": True}},
        "outputs": {"said": {"type": "uri_folder"}},
        "command": "echo said $[[${{inputs.number}}]] | tee ${{outputs.said}}/said; $[[find ${{inputs.path}}/ -type f -exec cat {} +]]", "environment": PLAIN,
    })
    (tmp_path / "start").mkdir()
    (tmp_path / "start" / "trace").write_text("start\n")
    return tmp_path


def pipeline(folder: Path, jobs: dict, **more) -> Path:
    """In a folder of its own, as the components' paths are relative to it."""
    return write(folder, "pipelines/control/pipeline.yml", {"type": "pipeline", "display_name": "controlled", "jobs": jobs, "settings": {"default_compute": "azureml:cpu-cluster"}, **more})


def say(number: float) -> dict:
    return {"type": "command", "inputs": {"number": number}, "component": "../../components/say/spec.yaml"}


def decide(number: int = 1) -> dict:
    return {"component": "../../components/decide/spec.yaml", "inputs": {"number": number}}


def node(name: str) -> str:
    return f"${{{{parent.jobs.{name}}}}}"


OF_DECIDE = "${{parent.jobs.result.outputs.output}}"


def children(client, job) -> dict[str, list]:
    """The ended children by the name of their node, rounds in order."""
    found: dict[str, list] = {}
    for child in sorted((client.jobs.get(c.name) for c in client.jobs.list(parent_job_name=job.name)), key=lambda c: c.creation_context.created_at):
        assert child.status == "Completed", (child.display_name, child.status)
        found.setdefault(child.display_name, []).append(child)
    return found


class TestIfElse:
    @pytest.mark.parametrize(("number", "ran"), [(1, "node2"), (0, "node1")])
    def test_l4_076_only_the_chosen_branch_runs(self, client, submit, components, tmp_path, number, ran):
        job = finish(client, submit(pipeline(components, {
            "result": decide(number), "node1": say(1), "node2": say(2),
            "conditionnode": {"type": "if_else", "true_block": node("node2"), "condition": OF_DECIDE, "false_block": node("node1")},
        })))
        found = children(client, job)
        assert found.keys() == {"result", ran}
        assert f"said {ran[-1]}" in log_of(client, found[ran][0].name, tmp_path / "log")
        assert job.jobs["conditionnode"].type == "if_else"

    def test_one_branch_blocks_of_several_and_a_literal(self, client, submit, components):
        job = finish(client, submit(pipeline(components, {
            "result": decide(0), "node1": say(1), "node2": say(2), "node3": say(3), "node4": say(4), "node5": say(5), "other": decide(3),
            "several": {"type": "if_else", "condition": OF_DECIDE, "true_block": [node("node1"), node("node2")], "false_block": [node("node3")]},
            "one": {"type": "if_else", "condition": "${{parent.jobs.other.outputs.output}}", "true_block": node("node4")},
            "literal": {"type": "if_else", "condition": False, "true_block": node("node5")},
        })))
        assert children(client, job).keys() == {"result", "other", "node3", "node4"}

    def test_inside_a_pipeline_component(self, client, submit, components):
        inner = pipeline(components, {"result": decide(), "node1": say(1), "conditionnode": {"type": "if_else", "true_block": node("node1"), "condition": OF_DECIDE}})
        inner.rename(inner.with_name("inner.yml"))
        job = finish(client, submit(write(components, "pipelines/control/outer.yml", {
            "type": "pipeline", "component": "./inner.yml", "settings": {"default_compute": "azureml:cpu-cluster"},
        })))
        assert children(client, job).keys() == {"result", "node1"}

    def test_an_expression_of_inputs(self, client, submit, components):
        """The SDK makes a component of `a > b`, which runs in an environment of its own."""
        script = """
        from azure.ai.ml import dsl
        from azure.ai.ml.dsl._condition import condition
        say = load_component("components/say/spec.yaml")

        @dsl.pipeline(default_compute="cpu-cluster")
        def compare(a: int, b: int):
            more, less = say(number=1), say(number=2)
            more.name, less.name = "more", "less"
            condition(a > b, true_block=more, false_block=less)

        job = compare(a=3, b=2)
        """
        found = children(client, finish(client, submit(script=script)))
        assert "more" in found and "less" not in found and len(found) == 2

    def test_a_condition_that_mldesigner_reports(self, client, submit, components):
        """Its components say control outputs to their run instead of writing files."""
        write(components, "designed/conda.yaml", {"dependencies": ["python=3.11", "pip", {"pip": ["mldesigner", "mlflow-skinny", "azureml-mlflow"]}]})
        (components / "designed" / "decides.py").write_text(dedent("""
            from mldesigner import Output, command_component

            @command_component(environment={"conda_file": "designed/conda.yaml", "image": "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu20.04"})
            def decides(number: int) -> Output(type="boolean", is_control=True):
                return number > 5
        """))
        script = """
        from azure.ai.ml import dsl
        from azure.ai.ml.dsl._condition import condition
        from designed.decides import decides
        say = load_component("components/say/spec.yaml")

        @dsl.pipeline(default_compute="cpu-cluster")
        def choose():
            result = decides(number=7)
            yes, no = say(number=1), say(number=2)
            yes.name, no.name = "yes", "no"
            condition(result, true_block=yes, false_block=no)

        job = choose()
        """
        found = children(client, finish(client, submit(script=script)))
        assert "yes" in found and "no" not in found and len(found) == 2

    def test_a_condition_that_is_no_boolean_is_refused(self, client, submit, components):
        jobs = {"result": {**decide(), "component": "../../components/count.yml", "inputs": {"number": 1, "folder": {"type": "uri_folder", "path": "../../start"}}}, "node1": say(1)}
        jobs["conditionnode"] = {"type": "if_else", "true_block": node("node1"), "condition": "${{parent.jobs.result.outputs.number_out}}"}
        with pytest.raises((AssertionError, HttpResponseError)) as caught:
            submit(pipeline(components, jobs))
        assert "properties.jobs.conditionnode.condition" in str(caught.value)


class TestDoWhile:
    def test_bodies_that_are_steps_and_pipelines(self, client, submit, components, tmp_path):
        write(components, "components/body.yml", {
            "type": "pipeline", "inputs": {"number": {"type": "integer"}, "folder": {"type": "uri_folder"}},
            "outputs": {"folder_out": {"type": "uri_folder"}, "number_out": {"type": "integer", "is_control": True}, "above_zero": {"type": "boolean", "is_control": True}},
            "jobs": {"write": {
                "type": "command", "component": "./count.yml", "inputs": {"number": "${{parent.inputs.number}}", "folder": "${{parent.inputs.folder}}"},
                "outputs": {name: f"${{{{parent.outputs.{name}}}}}" for name in ("folder_out", "number_out", "above_zero")},
            }},
        })
        given = {"number": "${{parent.inputs.number}}", "folder": "${{parent.inputs.folder}}"}
        both = {"folder_out": "folder", "number_out": ["number"]}
        job = finish(client, submit(pipeline(components, {
            "step": {"type": "command", "component": "../../components/count.yml", "inputs": given},
            "of_step": {"type": "do_while", "body": node("step"), "limits": {"max_iteration_count": 5}, "condition": "${{parent.jobs.step.outputs.above_zero}}", "mapping": both},
            "nested": {"type": "pipeline", "component": "../../components/body.yml", "inputs": given},
            "of_nested": {"type": "do_while", "body": node("nested"), "limits": {"max_iteration_count": 5}, "condition": "${{parent.jobs.nested.outputs.above_zero}}", "mapping": both},
            "always": {"type": "pipeline", "component": "../../components/body.yml", "inputs": given},
            "of_always": {"type": "do_while", "body": node("always"), "limits": {"max_iteration_count": 2}, "mapping": {"folder_out": "folder"}},
            "after": {"type": "command", "component": "../../components/count.yml", "inputs": {"number": 7, "folder": "${{parent.jobs.nested.outputs.folder_out}}"}, "outputs": {"folder_out": "${{parent.outputs.trace}}"}},
        }, inputs={"number": 3, "folder": {"type": "uri_folder", "path": "../../start"}}, outputs={"trace": {"type": "uri_folder", "mode": "upload"}})))
        found = children(client, job)
        assert {name: len(rounds) for name, rounds in found.items()} == {"step": 3, "nested": 3, "always": 2, "after": 1}
        trace = next((download(client, job.name, tmp_path / "got") / "named-outputs").rglob("trace/trace"))
        assert trace.read_text().split() == ["start", "3", "2", "1", "7"]


    def test_mldesigners_function(self, client, submit, components):
        script = """
        from azure.ai.ml import Input, dsl
        from mldesigner.dsl import do_while
        count = load_component("components/count.yml")

        @dsl.pipeline(default_compute="cpu-cluster")
        def loop(folder):
            body = count(number=4, folder=folder)
            body.name = "body"
            do_while(body=body, condition=body.outputs.above_zero, mapping={body.outputs.number_out: body.inputs.number, "folder_out": [body.inputs.folder]}, max_iteration_count=9)
            after = count(number=1, folder=body.outputs.folder_out)
            after.name = "after"
            return {"trace": after.outputs.folder_out}

        job = loop(folder=Input(type="uri_folder", path="start"))
        """
        found = children(client, finish(client, submit(script=script)))
        assert {name: len(rounds) for name, rounds in found.items()} == {"body": 4, "after": 1}


class TestParallelFor:
    def test_items_as_json_and_what_comes_after(self, client, submit, components, tmp_path):
        job = finish(client, submit(pipeline(components, {
            "body": {"type": "command", "component": "../../components/say/spec.yaml", "inputs": {"path": {"type": "uri_folder", "path": "../../start"}}},
            "loop": {"type": "parallel_for", "body": node("body"), "items": '[{"number": 1}, {"number": 2}]'},
            "after": {"type": "command", "component": "../../components/say/spec.yaml", "inputs": {"path": {"path": "${{parent.jobs.loop.outputs.said}}"}}},
        })))
        found = children(client, job)
        assert {name: len(rounds) for name, rounds in found.items()} == {"body": 2, "after": 1}
        log = log_of(client, found["after"][0].name, tmp_path / "log")
        assert "said 1\n" in log and "said 2\n" in log

    def test_items_that_are_data_and_an_output_of_the_pipeline(self, client, submit, components, tmp_path):
        for name in ("one", "two"):
            (components / name).mkdir()
            (components / name / "word").write_text(f"{name}\n")
        made = [client.data.create_or_update(Data(name=f"word-{name}", path=str(components / name), type="uri_folder")) for name in ("one", "two")]
        items = {
            "one": {"number": 0, "path": {"type": "uri_folder", "path": f"azureml:word-one:{made[0].version}"}},
            "two": {"number": 1, "path": {"type": "uri_folder", "path": made[1].path}},
        }
        job = finish(client, submit(pipeline(components, {
            "body": {"type": "command", "component": "../../components/say/spec.yaml"},
            "loop": {"type": "parallel_for", "body": node("body"), "items": items, "outputs": {"said": "${{parent.outputs.all_said}}"}},
        }, outputs={"all_said": {"type": "mltable"}})))
        logs = [log_of(client, child.name, tmp_path / child.name) for child in children(client, job)["body"]]
        assert ["one\n" in logs[0], "two\n" in logs[1]] == [True, True]
        folder = download(client, job.name, tmp_path / "got") / "named-outputs" / "all_said"
        assert {p.parent.name: p.read_text() for p in folder.rglob("said")} == {"one": "said 0\n", "two": "said 1\n"}
        assert list(folder.rglob("MLTable"))

    def test_items_from_an_input_of_the_pipeline(self, client, submit, components):
        script = """
        from azure.ai.ml import dsl
        from azure.ai.ml.dsl._parallel_for import parallel_for
        say = load_component("components/say/spec.yaml")

        @dsl.pipeline(default_compute="cpu-cluster")
        def loop(items: str):
            body = say()
            body.name = "body"
            parallel_for(body=body, items=items)

        job = loop(items='[{"number": 4}, {"number": 5}, {"number": 6}]')
        """
        assert len(children(client, finish(client, submit(script=script)))["body"]) == 3

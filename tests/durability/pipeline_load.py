"""The load of the pipeline's kill test: one of more than 50 steps of every kind, one that fails and is resumed, one that is canceled.
Every step sums what it reads and adds one, so what the last one says depends on all of them."""

from __future__ import annotations

import shlex
from collections import Counter
from pathlib import Path
from typing import Any

from bench.server import Server, until
from tests.durability.load import OVER, PATIENCE_S, SCRIPT

OUT = "${{parent.jobs.%s.outputs.%s}}"
SEVERAL, CHAIN, ITEMS, TRIALS = 17, 10, 5, 3
WORK = """
say="${{inputs.run}} ${{inputs.who}} ${{inputs.n}}"; echo "$say began" >> @WITNESS@; sleep ${{inputs.pause}}
sum=1; for file in $(find -L $[[${{inputs.a}}]] $[[${{inputs.b}}]] $[[${{inputs.c}}]] /dev/null -name sum); do sum=$((sum + $(cat $file))); done
echo $sum > ${{outputs.out}}/sum; echo $((${{inputs.n}} + 1)) > ${{outputs.next}}; [ ${{inputs.n}} -lt 4 ] && echo true > ${{outputs.low}} || echo false > ${{outputs.low}}
echo "sum $sum"; echo "$say ended" >> @WITNESS@
"""
FLAKY = """
say="${{inputs.run}} flaky 1"; echo "$say began" >> @WITNESS@; sleep 0.2; [ -e @WITNESS@.${{inputs.run}} ] || { touch @WITNESS@.${{inputs.run}}; echo "$say failed" >> @WITNESS@; exit 3; }
echo "$say ended" >> @WITNESS@
"""
SCORE = """
import os
def run(files):
    return [os.path.basename(path) for path in files]
"""


class Pipelines:
    """Submits rounds of three pipelines and sees how they ended; to be handed to load.Submission."""

    def __init__(self, server: Server, witness: Path):
        self.server = server
        self.witness = witness
        arm = server.client()
        arm.put(server.path("environments/plain/versions/1"), {"properties": {"image": "library/python:3.11"}})
        self.environment = f"{server.workspace}/environments/plain/versions/1"
        folder = {"type": "uri_folder"}
        text, optional = {"type": "string"}, {"type": "uri_folder", "optional": True}
        outs = {"out": folder, "next": {"type": "integer"}, "low": {"type": "boolean"}}
        ins = {"run": text, "who": text, "n": {"type": "integer", "default": "1"}, "pause": {"type": "number", "default": "0.1"}, "a": optional, "b": optional, "c": optional}
        self.work = self._component("work", WORK, ins, outs)
        self.flaky = self._component("flaky", FLAKY, {"run": text}, {})
        self.files = self._component("files", "for i in 1 2 3 4 5 6; do echo $i > ${{outputs.out}}/$i; done", {"run": text}, {"out": folder})
        self.sleep = self._component("sleep", "echo \"${{inputs.run}} sleeps 1 began\" >> @WITNESS@; sleep 600", {"run": text}, {})
        trial = "WITNESS=@WITNESS@ python job.py name=${{inputs.run}}-trial-${{inputs.c}} lines=4 pause=0.05 metrics=2 last=${{outputs.out}}"
        self.trial = self._component("trial", trial, {"run": text, "c": {"type": "integer"}}, {"out": folder}, code="azureml:" + server.put_code("pipeline-trial", {"job.py": SCRIPT.read_text()}))
        nested = {f"n{i}": self._step(f"n{i}", a=OUT % (f"n{i - 2}", "out") if i > 1 else "${{parent.inputs.a}}") for i in range(6)}
        nested["n5"]["outputs"] = {"out": {"type": "literal", "value": "${{parent.outputs.out}}"}}
        self.nested = self._made("components/nested/versions/1", {"componentSpec": {"type": "pipeline", "inputs": {"run": text, "a": folder}, "outputs": {"out": folder}, "jobs": nested}})
        task = {"type": "run_function", "entry_script": "score.py", "code": "azureml:" + server.put_code("pipeline-score", {"score.py": SCORE}), "environment": f"azureml:{self.environment}", "append_row_to": "${{outputs.rows}}"}
        spec = {"type": "parallel", "task": task, "mini_batch_size": "2", "input_data": "${{inputs.data}}", "inputs": {"data": {**folder, "mode": "direct"}}, "outputs": {"rows": {"type": "uri_file"}}, "error_threshold": 0}
        self.score_task, self.score = task, self._made("components/score/versions/1", {"componentSpec": spec})

    def _component(self, name: str, command: str, inputs: dict[str, Any], outputs: dict[str, Any], **more: Any) -> str:
        command = command.strip().replace("@WITNESS@", shlex.quote(str(self.witness)))
        spec = {"type": "command", "command": command, "environment": f"azureml:{self.environment}", "inputs": inputs, "outputs": outputs, "resources": {"properties": {"cores": 0.2}}, **more}
        return self._made(f"components/{name}/versions/1", {"componentSpec": spec})

    def _made(self, path: str, properties: dict[str, Any]) -> str:
        answer = self.server.client().patiently("PUT", self.server.path(path), {"properties": properties})
        assert answer.status in (200, 201), answer
        return answer.json()["id"]

    def _step(self, who: str, component: str = "", **inputs: Any) -> dict[str, Any]:
        given = {"run": "${{parent.inputs.run}}", **({} if component else {"who": who}), **inputs}
        raw = {name: {"job_input_type": "literal", "value": str(value)} for name, value in given.items()}
        return {"type": "command", "name": who, "componentId": component or self.work, "inputs": raw}

    # ---- the three pipelines --------------------------------------------------------------------------------------------------

    def _large(self) -> dict[str, Any]:
        jobs = {"start": self._step("start"), "files": self._step("files", self.files)}
        jobs |= {f"s{i}": self._step(f"s{i}", a=OUT % ("start", "out"), pause=i / 20) for i in range(SEVERAL)}
        jobs |= {f"c{i}": self._step(f"c{i}", a=OUT % (f"c{i - 1}" if i else "start", "out")) for i in range(CHAIN)}
        jobs |= {
            "yes": self._step("yes"), "no": self._step("no"),
            "choice": {"type": "if_else", "condition": OUT % ("start", "low"), "true_block": "${{parent.jobs.yes}}", "false_block": "${{parent.jobs.no}}"},
            "again": self._step("again"), "each": self._step("each"),
            "while": {"type": "do_while", "body": "${{parent.jobs.again}}", "condition": "low", "mapping": {"next": ["n"]}, "limits": {"max_iteration_count": 9}},
            "for": {"type": "parallel_for", "body": "${{parent.jobs.each}}", "items": str([{"n": i} for i in range(ITEMS)]).replace("'", '"'), "max_concurrency": 3},
            "nested": {**self._step("nested", self.nested, a=OUT % ("s0", "out")), "type": "pipeline"},
            "tune": {
                **self._step("tune", self.trial), "type": "sweep", "trial": {"componentId": self.trial}, "sampling_algorithm": "grid", "objective": {"goal": "minimize", "primary_metric": "loss"},
                "limits": {"max_concurrent_trials": 2, "max_total_trials": TRIALS, "timeout": 7200}, "search_space": {"c": {"type": "choice", "values": list(range(TRIALS))}},
            },
            "score": {
                "type": "parallel", "name": "score", "componentId": self.score, "task": self.score_task, "input_data": "${{inputs.data}}", "mini_batch_size": 2, "max_concurrency_per_instance": 1,
                "inputs": {"data": {"job_input_type": "literal", "value": OUT % ("files", "out"), "mode": "Direct"}},
            },
            "final": {**self._step("final", a=OUT % (f"c{CHAIN - 1}", "out"), b=OUT % ("nested", "out"), c=OUT % ("for", "out")), "outputs": {"out": {"type": "literal", "value": "${{parent.outputs.result}}"}}},
        }
        return jobs

    def _names(self, prefix: str) -> list[str]:
        return [f"{prefix}-{kind}" for kind in ("large", "resumed", "canceled")]

    def submit(self, prefix: str) -> None:
        """Each pipeline is acknowledged before the next is sent; so are the resuming of one and the cancel of another."""
        arm = self.server.client()
        self._put(f"{prefix}-large", self._large(), {"result": {"jobOutputType": "uri_folder", "assetName": f"{prefix}-result", "assetVersion": "1"}})
        bad = {"good": self._step("good"), "flaky": self._step("flaky", self.flaky), "late": {**self._step("late", a=OUT % ("good", "out"))}}
        self._put(f"{prefix}-resumed", bad, {}, {"continue_on_step_failure": True})
        spec = {"type": "pipeline", "inputs": {"run": {"type": "string"}}, "outputs": {}, "jobs": {"s": self._step("s", self.sleep)}}
        inner = self._made(f"components/{prefix}-inner/versions/1", {"componentSpec": spec})
        self._put(f"{prefix}-canceled", {"s": self._step("s", self.sleep), "inner": {**self._step("inner", inner), "type": "pipeline"}}, {})
        until(lambda: self.seen()[f"{prefix}-canceled sleeps 1 began"] == 2, PATIENCE_S, what=lambda: self.diagnosis(prefix))
        assert arm.patiently("POST", self.server.path(f"jobs/{prefix}-canceled/cancel")).status in (200, 202)
        until(lambda: self._facts(f"{prefix}-resumed")["status"] == "Failed", PATIENCE_S, what=lambda: self.diagnosis(prefix))
        answer = arm.patiently("POST", self.server.path(f"jobs/{prefix}-resumed/resume"))
        assert answer.status in (200, 202) or "Only a pipeline that failed" in answer.body.decode(), answer  # its first answer was lost

    def _put(self, name: str, jobs: dict[str, Any], outputs: dict[str, Any], settings: dict[str, Any] | None = None) -> None:
        body = {"jobType": "Pipeline", "jobs": jobs, "settings": settings or {}, "outputs": outputs, "inputs": {"run": {"jobInputType": "literal", "value": name}}, "experimentName": "durability"}
        self._made(f"jobs/{name}", body)

    # ---- what is seen ---------------------------------------------------------------------------------------------------------

    def seen(self) -> Counter[str]:
        return Counter(self.witness.read_text().splitlines() if self.witness.exists() else ())

    def ended(self, prefix: str) -> bool:
        return all(self._facts(name).get("status") in OVER for name in self._names(prefix)) and self._facts(f"{prefix}-resumed")["status"] == "Completed"

    def diagnosis(self, prefix: str) -> str:
        own = "".join(f"\n--- {path}\n{path.read_text()[-3000:]}" for path in sorted((self.server.data_dir / "jobs").glob("*.logs/*")))
        open_ones = {name: [(c, f["status"], f.get("waitingFor")) for c, f in self._below(name) if f["status"] not in OVER] for name in self._names(prefix)}
        return f"{[(n, self._facts(n).get('status'), self._facts(n).get('error')) for n in self._names(prefix)]} {open_ones}{own}{self.server.logs()}"

    def _facts(self, name: str) -> dict[str, Any]:
        return self.server.client().patiently("GET", self.server.path(f"jobs/{name}")).json().get("properties", {})

    def _below(self, name: str) -> list[tuple[str, dict[str, Any]]]:
        answer = self.server.client().patiently("GET", f"/history/v1.0{self.server.workspace}/runs/{name}/children")
        return [(run["runId"], self._facts(run["runId"])) for run in answer.json().get("value", [])]

    def observe(self, prefix: str) -> dict[str, Any]:
        """What there is of a round that is over, without what differs between any two rounds."""
        out: dict[str, Any] = {name.replace(prefix, "ROUND"): self._tree(name) for name in self._names(prefix)}
        asset = self.server.client().patiently("GET", self.server.path(f"data/{prefix}-result/versions/1"))
        out["registered"] = asset.status
        ends = {line: count for line, count in self.seen().items() if line.startswith(f"{prefix}-") and line.split()[-1] in ("ended", "failed")}
        out["ended"] = {line.replace(prefix, "ROUND"): count for line, count in sorted(ends.items())}
        return out

    def _tree(self, name: str) -> dict[str, Any]:
        facts, below = self._facts(name), self._below(name)
        found: dict[str, Any] = {"status": facts["status"], "error": (facts.get("error") or {}).get("code"), "exit": (facts.get("exit") or {}).get("code")}
        if "best_child_run_id" in facts.get("properties", {}):
            found["best"] = next(f["inputs"]["c"]["value"] for child, f in below if child == facts["properties"]["best_child_run_id"])
        if facts["jobType"] == "Command" and facts["status"] == "Completed":
            found["log"] = [line for line in self._log(name).splitlines() if line.startswith("sum ")]
        children: dict[str, list[Any]] = {}
        for child, one in below:
            given = {k: v.get("value") for k, v in one["inputs"].items() if k in ("n", "c")}
            children.setdefault(f"{one['properties'].get('azureml.nodeid', 'trial')} {given}", []).append(self._tree(child))
        if children:
            found["children"] = children
        return found

    def _log(self, name: str) -> str:
        account = next(d for d in self.server.client().get(self.server.path("datastores"))["value"] if d["name"] == "workspaceartifactstore")["properties"]["accountName"]
        path = f"/{account.rsplit('/', 1)[-1]}.blob.core.windows.net/azureml/ExperimentRun/dcid.{name}/user_logs/std_log.txt"
        return self.server.client("https://storage.azure.com").call("GET", path, headers={"x-ms-version": "2023-11-03"}).body.decode()

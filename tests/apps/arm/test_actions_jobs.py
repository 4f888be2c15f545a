"""Actions on jobs, through every check of the control plane."""

from __future__ import annotations

import pytest

from tests.control_plane import Plane, versioned

ENVIRONMENT = {"image": "library/python:3.11"}


@pytest.fixture
def home(plane: Plane) -> str:
    home = plane.shared("workspaces")
    plane.put(f"{home}/environments/e/versions/1", {"properties": ENVIRONMENT})
    return home


def submit(plane: Plane, home: str, **more) -> dict:
    properties = {
        "jobType": "Command", "command": "echo ${{inputs.lr}}", "environmentId": f"{home}/environments/e/versions/1",
        "inputs": {"lr": {"jobInputType": "literal", "value": "0.1"}}, "outputs": {"o": {"jobOutputType": "uri_folder"}}, **more,
    }
    return plane.put(f"{home}/jobs/{plane.name('job')}", {"properties": properties})


def relaunch(plane: Plane, job: dict, body: object = None, **more):
    return plane.send("POST", versioned(f"{job['id']}/lazwardRelaunch"), body, **more)


class TestRelaunch:
    @pytest.mark.parametrize("status", ["Queued", "Running", "Completed", "Failed", "Canceled"])
    def test_a_new_job_with_one_value_changed(self, plane: Plane, home: str, status: str):
        first = submit(plane, home)
        plane.job_is(first["id"].lower(), status)
        name = plane.name("again")
        answer = relaunch(plane, first, {"inputs": {"lr": 0.5}, "name": name})
        assert answer.status == 201
        made = answer.json
        assert made == plane.get(f"{home}/jobs/{name}")
        facts = made["properties"]
        assert (facts["status"], facts["inputs"]["lr"]["value"], facts["command"]) == ("Queued", "0.5", "echo ${{inputs.lr}}")
        assert facts["properties"]["lazward.relaunchedFrom"] == first["name"]
        assert facts["outputs"]["o"]["uri"].endswith(f"/paths/azureml/{name}/o/")
        assert facts["displayName"] == name
        assert plane.get(f"{home}/jobs/{first['name']}")["properties"]["inputs"]["lr"]["value"] == "0.1"

    def test_of_a_relaunch(self, plane: Plane, home: str):
        first = submit(plane, home, displayName="mine", tags={"a": "1"})
        second = relaunch(plane, first).json
        third = relaunch(plane, second, {}).json
        assert third["properties"]["properties"]["lazward.relaunchedFrom"] == second["name"]
        assert (third["properties"]["displayName"], third["properties"]["tags"]) == ("mine", {"a": "1"})
        assert len({first["name"], second["name"], third["name"]}) == 3

    def test_the_run_says_so_too(self, plane: Plane, home: str):
        first = submit(plane, home)
        made = relaunch(plane, first).json
        from lazward.storage import run_search

        tags = dict(plane.db.read_now(run_search.one, home.lower(), made["name"]).tags)
        assert tags["lazward.relaunchedFrom"] == first["name"]

    @pytest.mark.parametrize(("body", "target"), [
        ({"inputs": {"x": 1}}, "inputs.x"), ({"colour": "red"}, "colour"), ({"name": "a b"}, "name"), ([1], "body"),
        ({"resources": {"properties": {"memory": "lots"}}}, "properties.resources.properties.memory"), ({"environmentId": "azureml:none:1"}, "properties.environmentId"),
    ])
    def test_what_cannot_run_is_refused_by_its_member_and_leaves_nothing(self, plane: Plane, home: str, body: object, target: str):
        first = submit(plane, home)
        before = plane.state()
        answer = relaunch(plane, first, body)
        assert answer.status == 400, answer.body
        assert answer.error["target"] == target
        assert plane.state() == before

    def test_no_job_is_replaced(self, plane: Plane, home: str):
        first, other = submit(plane, home), submit(plane, home)
        answer = relaunch(plane, first, {"name": other["name"]})
        assert (answer.status, answer.error["code"], answer.error["target"]) == (409, "JobAlreadyExists", "name")
        assert relaunch(plane, first, {"name": first["name"]}).status == 409

    def test_there_must_be_one(self, plane: Plane, home: str):
        assert plane.send("POST", versioned(f"{home}/jobs/none/lazwardRelaunch"), {}).status == 404

    def test_takes_the_right_to_read_one_and_to_make_the_other(self, plane: Plane, home: str):
        first = submit(plane, home)
        jobs = "Microsoft.MachineLearningServices/workspaces/jobs"
        for name, rights in {"reader": ["read"], "writer": ["write"], "both": ["read", "write"]}.items():
            plane.authority.rights[name] = [(f"{jobs}/{right}", home) for right in rights]
        assert [relaunch(plane, first, {}, token=name).status for name in ("reader", "writer", "both")] == [403, 403, 201]
        made = relaunch(plane, first, {}, token="both").json
        assert made["systemData"]["createdBy"] == "both"

    def test_of_pipelines_and_sweeps(self, plane: Plane, home: str):
        component = plane.put(f"{home}/components/c/versions/1", {"properties": {"componentSpec": {
            "type": "command", "command": "echo ${{inputs.n}}", "environment": f"azureml:{home}/environments/e/versions/1", "inputs": {"n": {"type": "integer"}}, "outputs": {},
        }}})["id"]
        pipeline = plane.put(f"{home}/jobs/{plane.name('p')}", {"properties": {
            "jobType": "Pipeline", "settings": {}, "jobs": {"a": {"type": "command", "componentId": component, "inputs": {"n": {"job_input_type": "literal", "value": "1"}}}},
        }})
        again = relaunch(plane, pipeline, {"jobs": {"a": {"inputs": {"n": 2}}}})
        assert again.status == 201, again.body
        assert again.json["properties"]["jobs"]["a"]["inputs"]["n"]["value"] == "2"
        wrong = relaunch(plane, pipeline, {"jobs": {"a": {"inputs": {"n": "many"}}}})
        assert (wrong.status, wrong.error["target"]) == (400, "properties.jobs.a.inputs.n")
        sweep = plane.put(f"{home}/jobs/{plane.name('s')}", {"properties": {
            "jobType": "Sweep", "searchSpace": {"lr": ["uniform", [0, 1]]}, "samplingAlgorithm": {"samplingAlgorithmType": "Random"}, "objective": {"goal": "Minimize", "primaryMetric": "loss"},
            "limits": {"maxTotalTrials": 2, "maxConcurrentTrials": 1}, "trial": {"command": "echo ${{search_space.lr}}", "environmentId": f"{home}/environments/e/versions/1"},
        }})
        again = relaunch(plane, sweep, {"limits": {"maxTotalTrials": 3}, "searchSpace": {"lr": ["uniform", [0, 5]]}})
        assert again.status == 201, again.body
        assert again.json["properties"]["limits"]["maxTotalTrials"] == 3


class TestDiff:
    def test_of_two_jobs(self, plane: Plane, home: str):
        first = submit(plane, home)
        second = relaunch(plane, first, {"inputs": {"lr": 0.5}}).json
        answer = plane.send("POST", versioned(f"{home}/lazwardDiff"), {"left": first["name"], "right": second["name"]})
        assert answer.status == 200, answer.body
        assert answer.json["inputs"] == [{"name": "lr", "left": "0.1", "right": "0.5"}]
        assert answer.json["settings"] == []

    @pytest.mark.parametrize(("body", "status"), [({"left": "none", "right": "none"}, 404), ({"left": "x"}, 400), ([1], 400)])
    def test_what_cannot_be(self, plane: Plane, home: str, body: object, status: int):
        assert plane.send("POST", versioned(f"{home}/lazwardDiff"), body).status == status

    def test_takes_the_right_to_read_all_that_it_shows(self, plane: Plane, home: str):
        first = submit(plane, home)
        body = {"left": first["name"], "right": first["name"]}
        things = ("jobs", "codes/versions", "experiments/runs", "metadata/artifacts")
        base = "Microsoft.MachineLearningServices/workspaces"
        plane.authority.rights["all"] = [(f"{base}/{thing}/read", home) for thing in things]
        assert plane.send("POST", versioned(f"{home}/lazwardDiff"), body, token="all").status == 200
        for thing in things:
            plane.authority.rights["less"] = [(f"{base}/{other}/read", home) for other in things if other != thing]
            assert plane.send("POST", versioned(f"{home}/lazwardDiff"), body, token="less").status == 403, thing

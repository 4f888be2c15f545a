"""What a user would write: azure-ai-ml, azure-identity and mlflow as they come, nothing of Lazward's. Run by `lazward demo`."""

from __future__ import annotations

import json
import logging
import os
import tempfile
import time
import uuid
import warnings
from collections import Counter
from pathlib import Path

TRAIN = '''
import argparse
import matplotlib
matplotlib.use("Agg")
import matplotlib.pyplot as plt
import mlflow
from sklearn.datasets import load_diabetes
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.linear_model import Ridge
from sklearn.metrics import mean_absolute_error, r2_score
from sklearn.model_selection import train_test_split

args = argparse.ArgumentParser()
args.add_argument("--kind")
args.add_argument("--rounds", type=int)
args = args.parse_args()
data, target = load_diabetes(return_X_y=True, as_frame=True)  # 442 patients, 10 measurements: progression after a year
train_x, test_x, train_y, test_y = train_test_split(data, target, random_state=0)
model = Ridge(alpha=0.1) if args.kind == "ridge" else GradientBoostingRegressor(n_estimators=args.rounds, max_depth=2, learning_rate=0.1, random_state=0)
print(f"training {type(model).__name__} on {len(train_x)} patients", flush=True)
model.fit(train_x, train_y)
mlflow.log_params({"kind": args.kind, "rounds": args.rounds})
if args.kind != "ridge":
    for step, guess in enumerate(model.staged_predict(test_x)):
        if step % 10 == 0:
            mlflow.log_metric("test_mae", mean_absolute_error(test_y, guess), step=step)
            print(f"round {step}: test_mae {mean_absolute_error(test_y, guess):.2f}", flush=True)
guess = model.predict(test_x)
mlflow.log_metrics({"mae": mean_absolute_error(test_y, guess), "r2": r2_score(test_y, guess)})
figure, axis = plt.subplots()
axis.scatter(test_y, guess, s=8)
axis.set(xlabel="true", ylabel="predicted")
mlflow.log_figure(figure, "predictions.png")
import cloudpickle, numpy, pandas, sklearn
mlflow.sklearn.log_model(model, name="model", serialization_format="cloudpickle", input_example=train_x.head(2),
    pip_requirements=[f"scikit-learn=={sklearn.__version__}", f"numpy=={numpy.__version__}", f"pandas=={pandas.__version__}", f"cloudpickle=={cloudpickle.__version__}", f"mlflow-skinny=={mlflow.__version__}"])
print("done", flush=True)
'''
PACKAGES = ["scikit-learn", "pandas", "matplotlib", "mlflow-skinny>=3.1", "azureml-mlflow"]


def main() -> None:
    quiet()
    from azure.ai.ml import MLClient, command
    from azure.ai.ml.entities import Environment, ManagedOnlineDeployment, ManagedOnlineEndpoint, Model
    from azure.identity import DefaultAzureCredential

    say = Steps()
    client = MLClient(DefaultAzureCredential(), os.environ["LAZWARD_SUBSCRIPTION_ID"], os.environ["LAZWARD_RESOURCE_GROUP"], os.environ["LAZWARD_WORKSPACE"])
    workspace = client.workspaces.get()
    assert workspace is not None and workspace.mlflow_tracking_uri  # the SDK says Optional; a workspace that is not there raises
    say.step(f"MLClient(DefaultAzureCredential(), ...) found the workspace '{workspace.name}'")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "train.py").write_text(TRAIN)
        environment = Environment(
            name="demo", image="library/python:3.11", conda_file={"name": "demo", "dependencies": ["python=3.11", {"pip": PACKAGES}]},
        )
        jobs = {}
        for kind in ("ridge", "boosting"):
            job = client.jobs.create_or_update(command(
                code=folder, command="python train.py --kind ${{inputs.kind}} --rounds ${{inputs.rounds}}", inputs={"kind": kind, "rounds": 100},
                environment=environment, experiment_name="demo", display_name=f"diabetes-{kind}",
            ))
            say.note(f"submitted '{job.display_name}' as {job.name}: {job.studio_url}")
            assert job.name
            client.jobs.stream(job.name)
            jobs[kind] = client.jobs.get(job.name)
            say.step(f"'{job.display_name}' is {jobs[kind].status}")
    track(workspace.mlflow_tracking_uri, jobs, say)
    models = {}
    for kind, job in jobs.items():
        models[kind] = client.models.create_or_update(Model(name="diabetes", path=f"azureml://jobs/{job.name}/outputs/artifacts/paths/model/", type="mlflow_model"))
        say.note(f"registered {models[kind].name}:{models[kind].version} from {job.name}")
    say.step("models are registered")
    name = f"demo-{uuid.uuid4().hex[:6]}"
    endpoint = client.online_endpoints.begin_create_or_update(ManagedOnlineEndpoint(name=name, auth_mode="key")).result()
    say.step(f"endpoint {name}: {endpoint.scoring_uri}")
    for color, kind in (("blue", "ridge"), ("green", "boosting")):
        client.online_deployments.begin_create_or_update(
            ManagedOnlineDeployment(name=color, endpoint_name=name, model=models[kind], instance_type="Standard_DS3_v2", instance_count=1)
        ).result()
        say.step(f"deployment '{color}' serves {models[kind].name}:{models[kind].version}")
        if color == "blue":
            shift(client, name, {"blue": 100})
            say.note(f"scored: {json.loads(score(client, name))}")
            say.step("100% of the traffic goes to 'blue'")
    shift(client, name, {"blue": 30, "green": 70})
    answers = Counter(score(client, name) for _ in range(40))
    say.note(f"40 requests, {len(answers)} different answers: " + ", ".join(f"{json.loads(text)} {count}x" for text, count in answers.items()))
    say.step("traffic is split: blue 30%, green 70%")
    say.note(client.online_deployments.get_logs("green", name, lines=3).strip().splitlines()[-1])
    say.end()


def track(uri: str, jobs: dict, say: Steps) -> None:
    import mlflow

    mlflow.set_tracking_uri(uri)
    for kind, job in jobs.items():
        run = mlflow.get_run(job.name)
        artifacts = sorted(f.path for f in mlflow.MlflowClient().list_artifacts(job.name))
        metrics = {k: round(v, 3) for k, v in run.data.metrics.items() if not k.startswith("system/")}
        say.note(f"MLflow: {kind} params {run.data.params} metrics {metrics} artifacts {artifacts}")
    say.step("parameters, metrics, figure and model are tracked")


def shift(client, name: str, traffic: dict[str, int]) -> None:
    endpoint = client.online_endpoints.get(name)
    endpoint.traffic = traffic
    client.online_endpoints.begin_create_or_update(endpoint).result()


def score(client, name: str) -> str:
    columns = ["age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6"]
    request = {"input_data": {"columns": columns, "index": [0], "data": [[0.04, 0.05, 0.06, 0.02, -0.04, -0.03, -0.04, -0.003, 0.02, -0.02]]}}
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(request, file)
        file.flush()
        return client.online_endpoints.invoke(name, request_file=file.name)


class Steps:
    """Prints each result as it comes, with the time it took."""

    def __init__(self) -> None:
        self.began = self.last = time.perf_counter()

    def step(self, text: str) -> None:
        now = time.perf_counter()
        print(f"✓ {text}  ({now - self.last:.1f} s)", flush=True)
        self.last = now

    def note(self, text: str) -> None:
        print(f"  {text}", flush=True)

    def end(self) -> None:
        print(f"\nA model was trained, tracked, registered, deployed and scored in {time.perf_counter() - self.began:.0f} s.", flush=True)


def quiet() -> None:
    """The clients' own warnings about experimental classes say nothing here."""
    warnings.filterwarnings("ignore")
    for name in ("azure", "azureml", "mlflow", "msrest"):
        logging.getLogger(name).setLevel(logging.ERROR)


if __name__ == "__main__":
    main()
